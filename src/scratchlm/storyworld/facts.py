"""The attributes of the world, and all sentences that state them or ask for them.

`$A` is the person, place or thing; `$A.town` its value of that attribute; `$a`, `$a.o`, `$a.p` its pronouns (she, her,
her). Frames are sentential forms of the grammar, as in plots.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# `== key roles canonical statement`, which is also the expected answer, begins an attribute. `- ` is another frame;
# `? ` are the question phrasings of conversations, `! ` those held out for testing.
_ATTRIBUTES = """
== town AB $A lives in $A.town .
- $A lived in $A.town all $a.p life .
- $A had a Adj/size N/building.sg in $A.town .
- $A came from $A.town and knew every street there .
- A: I live in $A.town ,
- A: my home is in $A.town ,
- $A had come all the way from $A.town that day .
- $A told everyone about the N/outdoor.pl of $A.town .
? Where does $A live? In which town does $A live? What town does $A live in? Where is the home of $A?
! Can you tell me where $A lives? Which town is the home of $A?
== job AB $A is a $A.job .
- $A was a Adj/character $A.job .
- $A worked as a $A.job .
- A: I am a $A.job ,
- A: I work as a $A.job ,
- $A had learned to be a $A.job long ago .
- everyone said that $A was a very Adj/character $A.job .
- $A was proud to be a $A.job .
? What is $A's job? What does $A do? What kind of work does $A do? What is the job of $A?
! Can you tell me what $A's job is? What work does $A do?
== pet AB $A has a pet $A.pet .
- $A had a pet $A.pet that was very Adj/beast .
- $A whistled , and $a.p pet $A.pet Vmove.past Path .
- A: I have a pet $A.pet at home ,
- A: my pet $A.pet is very Adj/beast ,
- $A fed $a.p pet $A.pet Time .
- $A took $a.p pet $A.pet along .
- $A 's pet $A.pet was Adj/beast and Adj/beast .
? What pet does $A have? Which pet does $A have? What is $A's pet? What kind of pet does $A have?
! Can you tell me what pet $A has? Which animal is the pet of $A?
== food AB $A 's favourite food is $A.food .
- $A loved $A.food more than any other food .
- A: my favourite food is $A.food ,
- A: I love $A.food ,
- $A was glad because they had $A.food for N/mealtime.mass .
- $A had some $A.food in $a.p N/container.sg .
- nothing made $A happier than $A.food .
? What is $A's favourite food? What food does $A like best? Which food is $A's favourite?
? What is the favourite food of $A?
! Can you tell me what $A's favourite food is? What does $A like to eat most?
== colour AB $A 's favourite colour is $A.colour .
- $A chose the $A.colour N/clothing.sg because $a loved that colour .
- $A loved the colour $A.colour .
- A: my favourite colour is $A.colour ,
- A: I like $A.colour more than any other colour ,
- $A wore a $A.colour N/clothing.sg as always .
- $A had painted $a.p N/furniture.sg $A.colour .
? What is $A's favourite colour? What colour does $A like best? Which colour is $A's favourite?
? What is the favourite colour of $A?
! Can you tell me what $A's favourite colour is? Which colour does $A love most?
== instrument AB $A plays the $A.instrument .
- $A played the $A.instrument every evening .
- $A played a Adj/thought song on $a.p $A.instrument .
- A: I play the $A.instrument ,
- A: listen to me play the $A.instrument ,
- $A had learned to play the $A.instrument as a child .
- when $A played the $A.instrument , everyone listened .
? What instrument does $A play? Which instrument does $A play? What does $A play? What is $A's instrument?
! Can you tell me what instrument $A plays? What music does $A make?
== treasure AB $A 's treasure is a $A.treasure .
- $A kept a Adj/look $A.treasure in $a.p N/container.sg .
- $A carried $a.p treasure , a Adj/look $A.treasure , everywhere .
- A: my treasure is a Adj/age $A.treasure ,
- A: this $A.treasure is my treasure ,
- $A loved $a.p $A.treasure because it was a present from $a.p N/role.sg .
- $A polished $a.p $A.treasure Time .
? What is $A's treasure? What treasure does $A have? Which treasure does $A own? What is the treasure of $A?
! Can you tell me what $A's treasure is? Which thing does $A treasure most?
== known P $A is known for $A.known .
- people came to $A from far away because of $A.known .
- $A was famous for $A.known .
- everybody in $A was proud of $A.known .
- the people of $A loved $A.known more than anything .
- Name/man knew that $A was known for $A.known .
? What is $A known for? What is the town of $A known for? For what is $A known?
! Can you tell me what $A is known for?
== site P $A stands near a $A.site .
- the town of $A stood near a Adj/land $A.site .
- the road to $A went past a Adj/land $A.site .
- the children of $A played near the $A.site .
- the N/building.pl of $A looked down on a $A.site .
- Name/woman often walked from $A to the $A.site .
? What does $A stand near? What is near the town of $A? What does the town of $A stand near?
! Can you tell me what $A stands near?
== material S the $A is made of $A.material .
- Name/man said that the $A was made of $A.material .
- the $A of $A.material was Adj/worth and Adj/look .
- the $A was made of $A.material and shone in the sun .
- long ago a N/role.sg made the $A of $A.material .
? What is the $A made of? What was the $A made from? Of what is the $A made?
! Can you tell me what the $A is made of?
== stand S the $A is in $A.stand .
- Name/woman saw the $A in $A.stand .
- people who wanted to see the $A went to $A.stand .
- the $A stood in the middle of $A.stand .
- everyone knew that the $A was in $A.stand .
? Where is the $A? In which town is the $A? Where can I see the $A?
! Can you tell me where the $A is?
"""


@dataclass(frozen=True)
class Attribute:
    """One kind of fact: its frames, the question phrasings of conversations, and the held-out phrasings for testing."""

    key: str
    roles: str  # people A and B, a place P, a famous thing S
    canonical: str
    frames: tuple[str, ...]
    phrasings: tuple[str, ...]
    held_out_phrasings: tuple[str, ...]


def _attributes() -> Iterator[Attribute]:
    for block in _ATTRIBUTES.split("== ")[1:]:
        head, *lines = block.strip().splitlines()
        key, roles, canonical = head.split(maxsplit=2)
        frames = tuple(line[2:] for line in lines if line[0] == "-")
        asked, held_out = (re.findall(r"\w[^?]+\?", "".join(x[1:] for x in lines if x[0] == mark)) for mark in "?!")
        yield Attribute(key, roles, canonical, frames, tuple(asked), tuple(held_out))


ATTRIBUTES = {attribute.key: attribute for attribute in _attributes()}

_PREDICATES = ("lives in $A.town", "is a $A.job", "has a pet $A.pet", "plays the $A.instrument")
_POSSESSIONS = ("favourite food is $A.food", "favourite colour is $A.colour", "treasure is a $A.treasure")

# Two facts of a person in one sentence.
PAIRS = (
    *(f"$A {first} and {second} ." for first in _PREDICATES for second in _PREDICATES if first != second),
    *(f"$A 's {x} , and $a.p {y} ." for x in _POSSESSIONS for y in _POSSESSIONS if x != y),
)
