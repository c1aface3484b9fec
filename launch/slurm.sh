#!/usr/bin/env bash
# Pretraining on the machines of a SLURM cluster: sbatch launch/slurm.sh DATA RUN [FLAGS OF PRETRAIN ...]
#
# DATA and RUN lie where every machine sees them. One torchrun on each machine starts RANKS processes (one a GPU, or one
# a machine on CPUs). A machine that dies is waited for, and all go on from the last checkpoint; where the time of the
# job runs out, the run is saved, and the same line goes on with it.
#SBATCH --job-name=scratchlm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=08:00:00
#SBATCH --signal=TERM@180
set -euo pipefail

data=${1:?name the folder that prepare wrote}
run=${2:?name the folder of the run}
shift 2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
ranks=${RANKS:-1}

command=(pretrain default --data "$data" --out "$run" --threads "$((SLURM_CPUS_PER_TASK / ranks))" "$@")
if [ -e "$run/recipe.toml" ]; then
    command=(pretrain --resume "$run")
fi
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # or a machine that comes back gets no address from torchrun
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$ranks" --max-restarts 3 --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d --rdzv-endpoint "$first:29500" -m scratchlm "${command[@]}"
