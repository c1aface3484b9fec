"use strict";
// Charts: the nearest point of each curve, by pointer or arrow keys. Labels are set as text, never as HTML.
for (const area of document.querySelectorAll(".area")) {
  const curves = JSON.parse(area.dataset.curves);
  const places = [...new Set(curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
  const cursor = area.querySelector(".cursor"), readout = area.querySelector(".readout");
  const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 6 });
  let at = places.length - 1;
  const show = () => {
    const lines = curves.map(({ name, points }) => {
      const [, , x, y] = points.reduce((a, b) => (Math.abs(b[0] - places[at]) < Math.abs(a[0] - places[at]) ? b : a));
      return `${name}: ${number(y)} (${area.dataset.x} ${number(x)})`;
    });
    readout.textContent = lines.join("\n");
    readout.classList.toggle("away", places[at] < 50);
    cursor.style.left = `${places[at]}%`;
    cursor.hidden = readout.hidden = false;
  };
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect(), left = (100 * (event.clientX - box.left)) / box.width;
    at = places.reduce((best, place, index) => (Math.abs(place - left) < Math.abs(places[best] - left) ? index : best), 0);
    show();
  });
  area.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), places.length - 1);
    show();
  });
  for (const leave of ["pointerleave", "blur"]) {
    area.addEventListener(leave, () => { cursor.hidden = readout.hidden = true; });
  }
}
// Samples of training: one at a time, chosen by a slider.
for (const lapse of document.querySelectorAll(".lapse")) {
  const frames = [...lapse.querySelectorAll(".frame")], slider = lapse.querySelector("input");
  const show = () => {
    frames.forEach((frame, index) => { frame.hidden = index !== Number(slider.value); });
    slider.setAttribute("aria-valuetext", frames[slider.value].querySelector(".label").textContent);
  };
  let timer;
  const button = lapse.querySelector("button");
  const pause = () => { clearInterval(timer); timer = undefined; button.textContent = "Play"; };
  button.addEventListener("click", () => {
    if (timer) return pause();
    slider.value = 0;
    button.textContent = "Pause";
    show();
    timer = setInterval(() => {
      if (Number(slider.value) === frames.length - 1) return pause();
      slider.value = Number(slider.value) + 1;
      show();
    }, Math.max(250, Math.min(1200, 12000 / frames.length)));
  });
  slider.addEventListener("input", () => { pause(); show(); });
  lapse.querySelector(".bar").hidden = false;
  addEventListener("afterprint", show);
  show();
}
addEventListener("beforeprint", () => document.querySelectorAll("details, .frame").forEach((each) => {
  each.open = true;
  each.hidden = false;
}));
