"""The grammar as data, read by both the generator (with weights and classes) and the recogniser (without).

`HEAD -> alternative
`HEAD -> alternative`. Lower-case words and punctuation stand for themselves (`_` for a space inside a
phrase), capitalised items are categories, `X?30` is X three times in ten. `5:` is a weight in generation; `0:` marks a
rule that only the recogniser uses. `/class` restricts generation to sensible words. In a line with `.T` the rule is
written for every tense and agreement of TENSES; a line with `/c` for every noun class, one with `.n` for `sg` and `pl`.
"""

TENSES = ("pastsg", "pastpl", "pressg", "prespl", "pres1", "base", "ing", "pp")
NOUN_CLASSES = [
    "role",
    "animal",
    "bird",
    "fruit",
    "food",
    "plant",
    "tree",
    "tool",
    "toy",
    "clothing",
    "treasure",
    "book",
    "container",
    "furniture",
    "vehicle",
    "building",
    "room",
    "outdoor",
    "sky",
    "body",
    "idea",
    "event",
    "sound",
    "part",
]

# Which adjectives suit which nouns.
MODIFIERS = """
A/role -> 5: Adj/character | Adj/size
A/animal -> 5: Adj/beast | Adj/color | Adj/size
A/bird -> 5: Adj/beast | 2: Adj/color | Adj/size
A/fruit -> 4: Adj/taste | 2: Adj/color | Adj/size
A/food -> 5: Adj/taste | Adj/size
A/meal -> Adj/taste
A/drink -> Adj/taste
A/plant -> 2: Adj/color | Adj/size | Adj/look
A/tree -> 2: Adj/size | Adj/age | Adj/look
A/tool -> Adj/matter | 3: Adj/look | Adj/size | Adj/age | Adj/worth
A/toy -> Adj/matter | 2: Adj/look | Adj/size | 2: Adj/color | Adj/worth
A/clothing -> Adj/matter | 2: Adj/look | Adj/size | 2: Adj/color | Adj/age
A/treasure -> Adj/matter | 3: Adj/look | Adj/size | Adj/age | 2: Adj/worth
A/book -> 2: Adj/thought | Adj/age | 2: Adj/worth
A/container -> Adj/matter | 3: Adj/look | Adj/size | Adj/color | Adj/age
A/furniture -> Adj/matter | 3: Adj/look | 2: Adj/size | Adj/color | Adj/age
A/vehicle -> 3: Adj/look | Adj/size | Adj/color | Adj/age
A/building -> 2: Adj/land | Adj/size | 2: Adj/age | Adj/color
A/room -> 2: Adj/land | Adj/size | Adj/look
A/outdoor -> 5: Adj/land | Adj/size
A/sky -> Adj/weather
A/body -> 2: Adj/size | Adj/look
A/idea -> 4: Adj/thought | Adj/worth
A/event -> 4: Adj/thought | Adj/size
A/sound -> Adj/noise
A/part -> 2: Adj/look | Adj/size
A/thing -> Adj/matter | 3: Adj/look | Adj/size | Adj/age | Adj/color
A/stuff -> 2: Adj/look | Adj/color
A/feeling -> Adj/size
A/nature -> Adj/weather
"""

# Noun phrases. `NP.sg` and `NP.pl` agree with a verb, `NP` is an object of either number.
NOUN_PHRASES = """
Nb/c.n -> 6: N/c.n | 2: A/c N/c.n | 0: Adj/size A/c N/c.n | 0: Adj , Adj N.n | 0: Adj and Adj N.n
Nb/c.n -> 0: Degree Adj N.n
Nb.n -> 0: Adj one | 0: Comp Adj N.n | 0: Adj Adj Adj N.n | 0: Adj Adj N.n | 0: N.n of NP | 0: Comp N.n
Nb.n -> 0: Name 's N.n
NP/c.sg -> 5: the Nb/c.sg | 5: a Nb/c.sg | 1: Pos Nb/c.sg
NP/c.pl -> 3: the Nb/c.pl | 1: Num Nb/c.pl | 1: some Nb/c.pl | 1: Pos Nb/c.pl
NP/c -> 1: NP/c.sg | 1: NP/c.pl
NP.sg -> 0: Det1 Nb.sg | 0: Det1 Nb.mass | 0: Nb.mass | 0: Name | 0: Town | 0: Pronoun.any
NP.sg -> 0: NPbase.sg Rel.sg
NP.sg -> 0: NPbase.sg PPnoun | 0: Name Appos | 0: Det1 Nb.sg Name | 0: Colour | 0: the colour Colour
NP.sg -> 0: the Adj one | 0: one of NP.pl
NP.sg -> 0: Name the Nb.sg | 0: NPbase.sg PPnoun , who VP.pastsg | 0: everyone else | 0: nothing else
NP.sg -> 0: something Adj
NP.sg -> 0: Name , who VP.pastsg | 0: Name , Det1 Nb.sg PPs | 0: NPbase.sg , Det1 Nb.sg PPs ,
NP.pl -> 0: NPbase and NP | 0: NP.sg and NP.sg | 0: all the others | 0: the others | 0: both of Ob
NP.pl -> 0: all of Ob | 0: some of Ob | 0: two | 0: both | 0: they both
NP.pl -> 0: they all | 0: we all | 0: each other | 0: Name and Name both | 0: Num Nb.pl and Num Nb.pl
NP.pl -> 0: Det2 Nb.pl | 0: Nb.pl | 0: NPbase.pl Rel.pl | 0: NPbase.pl PPnoun | 0: NPbase and NPbase
NP.pl -> 0: NPbase , NPbase , and NPbase | 0: NPbase , NPbase and NPbase
NPbase -> 0: NPbase.sg | 0: NPbase.pl
NPbase.sg -> 0: Det1 Nb.sg | 0: Det1 Nb.mass | 0: Nb.mass | 0: Name | 0: Town | 0: Pronoun.any
NPbase.pl -> 0: Det2 Nb.pl | 0: Nb.pl
Nb/meal.mass -> N/meal.mass | A/meal N/meal.mass
Nb/drink.mass -> N/drink.mass | A/drink N/drink.mass
Nb/stuff.mass -> N/stuff.mass | A/stuff N/stuff.mass
Nb.mass -> 0: N.mass | 0: Adj N.mass | 0: N.mass of NP | 0: Adj , Adj N.mass | 0: Adj and Adj N.mass
NP/meal -> 3: some Nb/meal.mass | 2: the Nb/meal.mass | a piece of Nb/meal.mass | a bowl of Nb/meal.mass
NP/drink -> 2: some Nb/drink.mass | the Nb/drink.mass | a cup of Nb/drink.mass | a jug of Nb/drink.mass
NP/feeling -> 3: N/feeling.mass | some N/feeling.mass
Nb/thing.sg -> N/thing.sg | A/thing N/thing.sg
NP/someone.sg -> 3: Name/woman | 3: Name/man | Name/woman the N/role.sg | Name/man the N/role.sg
NP/owned.sg -> Name/woman 's Nb/thing.sg | Name/man 's Nb/thing.sg | the N/role.sg 's Nb/thing.sg
NP/made.sg -> a Nb/thing.sg made of N/stuff.mass | a Nb/building.sg made of N/stuff.mass
Nb/many.pl -> 4: Nb/tool.pl | Nb/container.pl | Nb/furniture.pl | Nb/vehicle.pl | Nb/tree.pl | Nb/part.pl
Nb/many.pl -> Nb/building.pl
Nb/many.pl -> Nb/room.pl | 3: Nb/bird.pl | 4: Nb/animal.pl | 3: Nb/role.pl | 4: Nb/outdoor.pl | Nb/body.pl
Nb/many.pl -> Nb/book.pl
NP/edible -> 3: NP/fruit | 3: NP/food | 3: NP/meal
NP/beast -> 3: NP/animal | NP/bird
NP/thing -> NP/tool | NP/toy | NP/clothing | NP/treasure | NP/book | NP/container
NP/sight -> NP/outdoor | NP/sky | NP/bird | NP/animal | NP/building | NP/vehicle
Det1 -> 0: the | 0: a | 0: this | 0: that | 0: every | 0: each | 0: another | 0: some | 0: no | 0: any
Det1 -> 0: Poss
Det1 -> 0: only a | 0: any other | 0: just the | 0: only the | 0: one | 0: such a | 0: all the
Det2 -> 0: only Num | 0: the last Num | 0: the first Num | 0: the | 0: these | 0: those | 0: some | 0: many
Det2 -> 0: few | 0: all | 0: all the | 0: both | 0: no | 0: Poss
Det2 -> 0: Num | 0: the Num | 0: several | 0: most | 0: any | 0: other | 0: the other | 0: Poss Num | 0: a few
Poss -> 0: my | 0: your | 0: his | 0: her | 0: its | 0: our | 0: their | 0: Name 's | 0: the Nb.sg 's
Poss -> 0: Town 's
Poss -> 0: Pos | 0: Pos Nb.sg 's | 0: Pospl
Pronoun.any -> 0: everyone | 0: everybody | 0: nobody | 0: something | 0: nothing | 0: everything
Pronoun.any -> 0: somebody
Pronoun.any -> 0: someone | 0: anything | 0: anyone | 0: no_one | 0: this | 0: that
Appos -> 0: , a Nb.sg PPs ,
Appos -> 0: , who VP.pastsg , | 0: , who VP.pressg , | 0: , Poss Nb.sg ,
Sub.sg -> 0: NP.sg | 0: Pro.sg | 0: it
Sub.pl -> 0: NP.pl | 0: Pro.pl | 0: they | 0: we | 0: you
Ob -> 0: NP | 0: Pob | 0: Pobpl | 0: me | 0: it | 0: us | 0: them | 0: you | 0: Reflexive
NP -> 0: NP.sg | 0: NP.pl
Pro.sg -> 0: he | 0: she
Pro.pl -> 0: they
Pos -> 0: his | 0: her
Pob -> 0: him | 0: her
Pospl -> their
Pobpl -> them
Reflexive -> 0: himself | 0: herself | 0: itself | 0: themselves | 0: myself | 0: yourself | 0: ourselves
Rel.n -> 0: RelWord VP.pastn | 0: RelWord VP.presn | 0: that RelGap | 0: whose N.n VP.pastn
RelWord -> 0: that | 0: who | 0: which
RelGap -> 0: Sub.sg Gap.pastsg | 0: Sub.pl Gap.pastpl | 0: Sub.sg Gap.pressg | 0: Sub.pl Gap.prespl
RelGap -> 0: I Gap.pastsg
PPnoun -> 0: of Ob | 0: with Ob | 0: Loc | 0: from Ob | 0: for Ob | 0: about Ob | 0: called Name
PPnoun -> 0: full of NP
PPnoun -> 0: named Name | 0: made of Nb.mass | 0: to Ob
PPs -> 0: PPnoun PPs | 0:
"""

# Verb phrases: a core with its complements, then adjuncts. `Do` is what a person might do next.
VERB_PHRASES = """
Do.T -> 7: Vt/edible.T NP/edible | 3: Vt/drink.T NP/drink | 3: Vt/plant.T NP/plant | 6: Vt/animal.T NP/beast
Do.T -> 7: Vt/role.T NP/role | 8: Vt/thing.T NP/thing | 3: Vt/tool.T NP/tool | 2: Vt/toy.T NP/toy
Do.T -> 5: Vt/role.T NP/someone.sg
Do.T -> 4: Vt/clothing.T NP/clothing | 3: Vt/book.T NP/book | 4: Vt/container.T NP/container
Do.T -> 2: Vt/tree.T NP/tree
Do.T -> 3: Vt/furniture.T NP/furniture | 3: Vt/vehicle.T NP/vehicle | 3: Vt/building.T NP/building
Do.T -> 3: Vt/outdoor.T NP/outdoor | 2: Vt/idea.T NP/idea | 2: Vt/event.T NP/event | Vt/sound.T NP/sound
Do.T -> 4: Vt/thing.T NP/owned.sg | 9: Vt/thing.T Num Nb/many.pl
Do.T -> 2: Vt/part.T NP/part | 9: Vmove.T Path | 9: Vi/person.T Manner | 4: Vplace.T NP/thing Loc
Do.T -> 2: Vt/thing.T NP/treasure
Do.T -> 2: look_at.T NP/sight | Vt/thing.T NP/made.sg
VP.T -> 0: VPone.T | 0: VPone.T and VPone.T | 0: VPone.T , VPone.T , and VPone.T | 0: VPone.T but VPone.T
VP.T -> 0: VPone.T , VPone.T and VPone.T | 0: VPone.T , but VPone.T | 0: VPone.T , and VPone.T
Core.T -> 0: say.T yes | 0: say.T no | 0: Vthat.T who VP.pastsg | 0: Vask.T who VP.pastsg
Core.T -> 0: Vask.T what VP.pastsg | 0: Vthat.T what VP.pastsg
Core.T -> 0: Vthat.T Wh Sub.sg Be.pressg | 0: Vthat.T Wh Sub.sg Be.pastsg | 0: Vd.T Ob Wh to VP.base
Core.T -> 0: Vd.T Ob that Cl
Core.T -> 0: listen.T to Ob VP.base | 0: Vthat.T RelGapWhat | 0: Vger.T Ob VP.ing | 0: spend.T NP VP.ing
Core.T -> 0: Vprep.T Ob VP.ing
RelGapWhat -> 0: what RelGap
VP.T -> 0: VPone.T and then VPone.T
VPone.T -> 0: Core.T Adjs | 0: Adv Core.T Adjs | 0: Freq Core.T Adjs | 0: BeCore.T Adjs
Core.T -> 0: Vi.T | 0: Vmove.T | 0: Vt.T Ob | 0: Vd.T Ob Ob | 0: Vprep.T Ob | 0: Do.T | 0: Vplace.T Ob Loc
Core.T -> 0: Vinf.T to VP.base | 0: Vger.T VP.ing | 0: Vobj.T Ob to VP.base | 0: help.T Ob VP.base
Core.T -> 0: Vlink.T AdjP
Core.T -> 0: Vthat.T Cl | 0: Vthat.T that Cl | 0: Vask.T if Cl | 0: Vask.T Wh Cl | 0: Vthat.T Wh Cl
Core.T -> 0: Vthat.T Wh to VP.base
Core.T -> 0: become.T NP | 0: look.T like NP | 0: smell.T of NP | 0: make.T Ob AdjP | 0: make.T Ob VP.base
Core.T -> 0: let.T Ob VP.base
Core.T -> 0: name.T Ob Name | 0: call.T Ob Name | 0: Vd.T Ob to Ob | 0: go.T VP.ing | 0: come.T VP.ing
Core.T -> 0: keep.T Ob AdjP | 0: see.T Ob VP.ing
Core.T -> 0: hear.T Ob VP.ing | 0: find.T Ob VP.ing | 0: find.T Ob AdjP | 0: tell.T Ob that Cl
Core.T -> 0: tell.T Ob Wh Cl | 0: live.T
Core.T -> 0: hear.T Ob VP.base | 0: see.T Ob VP.base | 0: sell.T Ob | 0: taste.T AdjP | 0: smell.T AdjP
Core.T -> 0: Vobj.T Ob not to VP.base | 0: paint.T Ob AdjP | 0: ask.T Ob Wh Cl | 0: ask.T Ob if Cl
Core.T -> 0: turn.T AdjP
Core.T -> 0: Do.T and Do.T
BeCore.T -> 0: Be.T Pred | 0: Be.T not Pred | 0: Be.T Freq Pred | 0: Be.T Freq VP.ing | 0: Be.T VP.ing
BeCore.T -> 0: Have.T VP.pp | 0: Have.T never VP.pp
BeCore.T -> 0: Be.T not VP.ing | 0: Have.T already VP.pp | 0: Have.T not VP.pp | 0: Have.T just VP.pp
BeCore.T -> 0: Have.T to VP.base
BeCore.T -> 0: Be.T going to VP.base
BeCore.pastsg -> 0: was NP.sg | 0: was not NP.sg | 0: was Freq NP.sg
BeCore.pastpl -> 0: were NP | 0: were not NP | 0: were Freq NP
BeCore.pressg -> 0: is NP.sg | 0: is not NP.sg | 0: is Freq NP.sg
BeCore.prespl -> 0: are NP | 0: are not NP
BeCore.pres1 -> 0: am NP.sg | 0: am not NP.sg
BeCore.base -> 0: be NP
BeCore.pp -> 0: been NP
BeCore.pastn -> 0: Modal VP.base | 0: Modal not VP.base | 0: did not VP.base | 0: Modal never VP.base
BeCore.pastn -> 0: Modal Freq VP.base
BeCore.pressg -> 0: ModalNow VP.base | 0: does not VP.base | 0: ModalNow not VP.base
BeCore.prespl -> 0: ModalNow VP.base | 0: do not VP.base | 0: ModalNow not VP.base
BeCore.pres1 -> 0: ModalNow VP.base | 0: do not VP.base | 0: ModalNow not VP.base | 0: would VP.base
BeCore.prespl -> 0: would VP.base
Modal -> 0: could | 0: would | 0: might | 0: should | 0: had to | 0: must | 0: used to | 0: had better
ModalNow -> 0: can | 0: will | 0: must | 0: may | 0: should | 0: could | 0: cannot | 0: might
Be.pastsg -> was
Be.pastpl -> were
Be.pressg -> is
Be.prespl -> are
Be.pres1 -> am
Be.base -> be
Be.pp -> been
Be.ing -> being
Have.pastn -> had
Have.pressg -> has
Have.prespl -> have
Have.pres1 -> have
Have.base -> have
Have.ing -> having
Pred -> 0: AdjP | 0: Loc | 0: Place | 0: Passive | 0: Name | 0: AdjP and AdjP | 0: like NP | 0: about NP
Pred -> 0: the best of friends | 0: With | 0: PP | 0: just like Ob | 0: what RelGap | 0: just what RelGap
Pred -> 0: mine | 0: yours | 0: to VP.base
Pred -> 0: for Ob | 0: Where | 0: from Town | 0: gone | 0: Time | 0: with Ob | 0: of Nb.mass | 0: full of NP
Passive -> 0: Vobj.pp to VP.base | 0: Vd.pp to Ob | 0: Vplace.pp Loc | 0: Vt.pp | 0: Vt.pp by Ob
Passive -> 0: made of NP | 0: called Name | 0: Vprep.pp | 0: known for NP | 0: famous for NP
AdjP -> 0: Adj | 0: Degree Adj | 0: Comp | 0: Comp than Ob | 0: as Adj as Ob | 0: Adj to VP.base
AdjP -> 0: too Adj to VP.base
AdjP -> 0: so Adj that Cl | 0: Adj PrepOther Ob | 0: Adj that Cl | 0: Adj and Adj | 0: much Comp
AdjP -> 0: Adj , Adj , and Adj
AdjP -> 0: Adj enough to VP.base | 0: much Comp than Ob | 0: as Adj as ever | 0: Adj but Adj | 0: Adj VP.ing
AdjP -> 0: Degree Adj to VP.base
AdjP -> 0: Degree Adj PrepOther Ob | 0: Degree Comp
Degree -> 0: very | 0: so | 0: rather | 0: quite | 0: too | 0: really | 0: terribly | 0: almost
Degree -> 0: a_little | 0: even
Gap.T -> 0: GapCore.T Adjs
GapCore.T -> 0: Vt.T | 0: Vprep.T | 0: Vinf.T to Gap.base | 0: Vd.T Ob | 0: Vd.T to Ob | 0: Vmove.T PrepPath
GapCore.T -> 0: Vplace.T
GapCore.T -> 0: Have.T Gap.pp | 0: Be.T Gap.ing | 0: live.T in | 0: Vobj.T Ob to Gap.base | 0: Vthat.T
GapCore.T -> 0: Freq Vt.T | 0: Vplace.T Loc
GapCore.pastn -> 0: Modal Gap.base
GapCore.prespl -> 0: ModalNow Gap.base
"""

# Adjuncts of the verb phrase.
ADJUNCTS = """
Adjs -> 0: Adjunct Adjs | 0:
Adjunct -> 0: Manner | 0: Loc | 0: Path | 0: Time | 0: Purpose | 0: Clause | 0: Simile | 0: PP | 0: Adv
Adjunct -> 0: Loc/town
Adjunct -> 0: Place | 0: Tail.sg | 0: Tail.pl | 0: Tail.first | 0: , VP.ing | 0: again | 0: too
Adjunct -> 0: Reflexive | 0: as well | 0: once | 0: both
PP -> 0: Comp than Ob | 0: very much | 0: more than Ob | 0: from far away | 0: at all | 0: on the way
PP -> 0: on the way to Ob | 0: from then on
PP -> 0: in PrepLoc Ob | 0: from PrepLoc Ob | 0: PP/pair | 0: as always | 0: more than ever
PP/pair -> 0: PrepLoc Ob and PrepLoc Ob | 0: PrepPath Ob and PrepPath Ob | 0: past Ob and over Ob
PP -> 0: while VP.ing | 0: PrepOther Ob | 0: PrepOther VP.ing | 0: with Ob VP.ing
Manner -> 3: Adv/manner | With
Loc -> 4: PrepLoc/near the Nb/outdoor.sg | 3: PrepLoc/near the Nb/building.sg | 2: PrepLoc/near the Nb/tree.sg
Loc -> 3: PrepLoc/in the Nb/outdoor.sg | 2: PrepLoc/in the Nb/room.sg | PrepLoc/in the Nb/container.sg
Loc -> 3: PrepLoc/on the Nb/furniture.sg | PrepLoc/near a Nb/role.sg | PrepLoc/on the Nb/part.sg
Loc -> 0: PrepLoc Ob
Loc -> 0: in Town | 0: near Town | 0: in the middle of Ob | 0: PrepLoc Ob and Ob | 0: at home
Place -> 0: here | 0: there | 0: Where
Loc/town -> in Town
Path -> 4: PrepPath/outdoor the Nb/outdoor.sg | 3: PrepPath/building the Nb/building.sg
Path -> PrepPath/thing the Nb/furniture.sg | PrepPath/thing the Nb/part.sg | 2: to the Nb/event.sg
Path -> Where/direction
Path -> 0: PrepPath Ob | 0: PrepPath Town | 0: all the way PrepPath Ob | 0: up and down | 0: home to Town
Path -> 0: back PrepPath Ob
Time -> 3: TimeEnd | 0: TimeFront | before N/mealtime.mass | after the N/event.sg
Time -> 0: every TimeN.sg | 0: each TimeN.sg | 0: this TimeN.sg | 0: that TimeN.sg | 0: all Poss life
Time -> 0: Num TimeN.pl later
Time -> 0: after Num TimeN.pl | 0: for Num TimeN.pl | 0: all the time | 0: one TimeN.sg
Purpose -> 0: to Gap.base | 3: to Do.base | 0: to VP.base | 0: in order to VP.base
Clause -> 0: because I VP.pastsg | 0: SubWord Cl | 0: Reason.sg | 0: Reason.pl | 0: When | 0: so Adv that Cl
Clause -> 0: , SubWord Cl | 0: , as if Cl
SubWord -> 0: because | 0: when | 0: while | 0: after | 0: before | 0: until | 0: if | 0: although
SubWord -> 0: even though | 0: so that
SubWord -> 0: as if | 0: as | 0: since | 0: as soon as | 0: where | 0: as long as | 0: though | 0: whenever
Simile -> like a Nb/animal.sg | like a Nb/bird.sg | as Adj/beast as a N/animal.sg
Simile -> as Adj/beast as a N/bird.sg | like a Nb/role.sg
Reason.sg -> 4: because Pro.sg was Mood/bad | 3: because Pro.sg wanted to Do.base | 3: because Nature
Reason.sg -> because Pro.sg loved NP/outdoor.pl
Reason.sg -> 2: because Pro.sg had to Do.base | 2: because Pro.sg was Mood/good
Reason.sg -> because Pro.sg hoped to Do.base
Reason.pl -> 4: because Pro.pl were Mood/bad | 3: because Pro.pl wanted to Do.base | 3: because Nature
Reason.pl -> 2: because Pro.pl had to Do.base | 2: because Pro.pl were Mood/good
Mood/good -> 3: Adj/good | very Adj/good | so Adj/good
Mood/bad -> 3: Adj/bad | very Adj/bad | too Adj/bad | rather Adj/bad
AdjP -> 0: Mood | 0: as Adj as Adj | 0: too Adj to Gap.base | 0: Adj to Gap.base | 0: Degree Adj to Gap.base
When -> 2: while NP/someone.sg was Do.ing | 3: while Nature | 3: before Nature | 2: until Nature
When -> 2: when Nature | 3: while Beast | 2: although Nature | 2: as Nature
Nature -> 4: the Nb/sky.sg Vi/sky.past | 2: the Nb/sky.sg was Adj/weather | the N/nature.mass Vi/nature.past
Nature -> 2: the Nb/outdoor.sg was Adj/land | it was Adj/weather | the Nb/plant.pl Vi/plant.past
Nature -> the N/sky.pl Vi/sky.past
Beast -> 3: a Nb/animal.sg Vi/animal.past Loc?40 | 2: a Nb/bird.sg Vi/animal.past Loc?40
Beast -> Num N/bird.pl Vmove.past Path
Tail.sg -> 3: Time | 4: Loc | 3: Reason.sg | 4: When | 5: while Do.ing | 2: Purpose | Simile | 2: Manner
Tail.first -> 4: Time | 3: Loc | 2: because Nature | because I was Mood/bad
Tail.pl -> 3: Time | 4: Loc | 3: Reason.pl | 4: When | 5: while Do.ing | 2: Purpose | Simile | 2: Manner
"""

# Clauses and sentences, as the recogniser meets them; stories are sentential forms of `S` (see plots.py).
SENTENCES = """
Cl -> 0: Cl.past | 0: Cl.now
Cl.past -> 0: Sub.sg VP.pastsg | 0: Sub.pl VP.pastpl | 0: I VP.pastsg | 0: Nature | 0: Beast | 0: There.past
Cl.past -> 0: Poss favourite food was NP Adjs
Cl.now -> 0: Sub.sg VP.pressg | 0: Sub.pl VP.prespl | 0: I VP.pres1 | 0: There.now
Cl.now -> 0: Poss favourite food is NP Adjs
There.past -> 0: there Be.pastsg NP.sg PPs Adjs | 0: there Be.pastpl NP.pl PPs Adjs
There.past -> 0: there Be.pastsg once NP.sg PPs
There.past -> 0: there once lived NP.sg PPs | 0: there lived NP.sg PPs | 0: there stood NP PPs
There.past -> 0: there was VP.ing
There.past -> 0: lived NP.sg PPs | 0: stood NP.sg PPs
There.now -> 0: there Be.pressg NP.sg PPs Adjs | 0: there Be.prespl NP.pl PPs Adjs
Decl -> 0: Body | 0: Lead Body
Lead -> 0: Front , | 0: Front | 0: Adv | 0: Where | 0: Adv , | 0: Conj | 0: Front , Front ,
Lead -> 0: Conj Front , | 0: Conj Adv | 0: then , Front ,
Lead -> 0: then | 0: first , | 0: so
Body -> 0: Cl | 0: Cl , Loc | 0: Cl.past , Conj Cl.past | 0: Cl.past and Cl.past | 0: Cl.past but Cl.past
Body -> 0: Cl.past , Conj Link Cl.past | 0: Cl.past , Conj Cl.past , Conj Cl.past | 0: Cl.past ; Cl.past
Body -> 0: Cl.now , Conj Cl.now | 0: Cl.now and Cl.now | 0: Cl.now but Cl.now | 0: Cl.now , Conj Link Cl.now
Body -> 0: Cl.past , and so Be.pastsg Sub.sg | 0: Cl , Conj Passive | 0: Loc Inverted | 0: Path Inverted
Body -> 0: Place Inverted | 0: so Adj was NP.sg that Cl
Link -> 0: Adv | 0: then | 0: Front ,
Inverted -> 0: Vplace.past NP | 0: Vi.past NP | 0: Vmove.past NP | 0: Be.pastsg NP.sg | 0: Be.pastpl NP.pl
Inverted -> 0: lived NP | 0: stood NP
Conj -> 0: and | 0: but | 0: so | 0: yet | 0: or | 0: for
Front -> 4: TimeFront/mid | 2: Opening | Loc/front | 0: TimeFront | 0: Time | 0: Loc | 0: Loc/town
Front -> 0: SubWord Cl | 0: Purpose | 0: PP | 0: With
Front -> 0: Adv | 0: Freq | 0: VP.ing | 0: PrepOther VP.ing | 0: Path | 0: every time Cl
Opening -> When | 4: Adv/sentence | after the Nb/event.sg | before the Nb/event.sg | during the Nb/event.sg
Loc/front -> PrepLoc/near the Nb/outdoor.sg | PrepLoc/in the Nb/outdoor.sg | PrepLoc/in the Nb/room.sg
Loc/front -> PrepLoc/near the Nb/building.sg
S -> 0: Decl . | 0: Decl ! | 0: Ask ? | 0: Talk | 0: Shout !
Talk -> 0: << Said '' Tag . | 0: Sub.sg Vsay.past SayHow , << Quote | 0: Sub.pl Vsay.past , << Quote
Talk -> 0: Sub.sg Vask.past SayHow , << Quote | 0: << Said '' Tag , << Quote | 0: << Quote
Talk -> 0: << Said '' Tag . << Quote
Said -> 0: Inner , | 0: Ask ? | 0: Shout ! | 0: Inner ! | 0: Inner . Inner , | 0: Inner . Ask ?
Said -> 0: Shout ! Inner , | 0: Ask ? Inner ,
Said -> 0: Inner . Inner ! | 0: Shout ! Ask ? | 0: Inner . Shout !
Quote -> 0: Utterance '' | 0: Utterance Utterance '' | 0: Utterance Utterance Utterance ''
Utterance -> 0: Inner . | 0: Ask ? | 0: Shout ! | 0: Inner !
Inner -> 0: Decl | 0: Command | 0: Call , Decl | 0: Decl , Name | 0: Call , Command | 0: Call | 0: Short
Inner -> 0: Call , Short
Inner -> 0: Command , Call | 0: Command and Cl | 0: Command , Decl | 0: Command , Conj Cl | 0: Decl , Call
Inner -> 0: Decl , please | 0: Decl too | 0: Call , Call
Call -> 0: Adj N.sg | 0: Interj | 0: Name | 0: Interj , Name | 0: my friend | 0: dear Name
Short -> 0: NP | 0: Loc | 0: of course | 0: not yet | 0: thank you for NP | 0: thank you , Name
Short -> 0: thank you for VP.ing | 0: me too | 0: good idea
Short -> 0: Front
Command -> 0: VP.base | 0: please VP.base | 0: do not VP.base | 0: let us VP.base | 0: never VP.base
Command -> 0: always VP.base | 0: please do not VP.base
Shout -> 0: what a Nb.sg | 0: how Adj | 0: what Nb.pl | 0: how Adj Sub.sg Be.pressg | 0: Call
Shout -> 0: Call , Call | 0: Command | 0: NP
Shout -> 0: what a Nb.sg it is | 0: how Adj Sub.pl Be.prespl | 0: Interj , what a Nb.sg | 0: Short
Shout -> 0: Call , Command | 0: how Adj it was
Tag -> 0: Vsay.past Sub.sg SayHow | 0: Sub.sg Vsay.past SayHow | 0: Vask.past Sub.sg SayHow
Tag -> 0: Sub.sg Vask.past SayHow
Tag -> 0: Vsay.past Sub.pl SayHow | 0: Sub.pl Vsay.past SayHow
Tag -> 0: Speech/tell Sub.sg SayHow | 0: Sub.sg Speech/tell SayHow
Speech/tell -> 3: said | Vsay/tell.past
Speech/shout -> shouted | Vsay/shout.past
Speech/ask -> 3: asked | Vask.past
SayHow -> 0: | 0: Adv | 0: With | 0: to Ob | 0: and VP.pastsg | 0: Adv and VP.pastsg | 0: Ob
Ask -> 0: AskCore | 0: Call , AskCore | 0: AskCore , Name | 0: Conj AskCore | 0: Inner , Conj AskCore
AskCore -> 0: Wh Aux | 0: Aux | 0: who VP.pastsg | 0: who VP.pressg | 0: what VP.pastsg
AskCore -> 0: Wh GapAux | 0: who GapAux | 0: why not VP.base | 0: Wh Be.pressg NP.sg PPs Adjs
AskCore -> 0: Wh Be.prespl NP.pl PPs Adjs
AskCore -> 0: Wh Be.pastsg NP.sg PPs Adjs | 0: what about Ob | 0: how about VP.ing | 0: what if Cl
AskCore -> 0: Wh Be.pressg it
AskCore -> 0: whose Nb.sg Be.pressg Sub.sg | 0: what Nb.sg GapAux | 0: which Nb.sg GapAux
AskCore -> 0: Wh Be.pressg Passive
Aux -> 0: do Subj2 VP.base | 0: does Sub.sg VP.base | 0: did Any VP.base | 0: AuxModal Any VP.base
Aux -> 0: Be.pressg Sub.sg BeRest
Aux -> 0: Be.prespl Sub.pl BeRest | 0: Be.pastsg Sub.sg BeRest | 0: Be.pastpl Sub.pl BeRest
Aux -> 0: have Subj2 VP.pp | 0: have Subj2 ever VP.pp | 0: has Sub.sg ever VP.pp | 0: has Sub.sg VP.pp
Aux -> 0: am I BeRest | 0: Be.pressg there NP.sg PPs Adjs | 0: do not Subj2 VP.base
GapAux -> 0: do Subj2 Gap.base | 0: does Sub.sg Gap.base | 0: did Any Gap.base | 0: AuxModal Any Gap.base
GapAux -> 0: Be.prespl Sub.pl Gap.ing
GapAux -> 0: Be.pressg Sub.sg Gap.ing | 0: have Subj2 Gap.pp | 0: has Sub.sg Gap.pp
GapAux -> 0: Be.pastsg Sub.sg Gap.ing
GapAux -> 0: do you Gap.base | 0: do you do | 0: shall we do | 0: can we do | 0: did you do
AuxModal -> 0: can | 0: will | 0: could | 0: would | 0: may | 0: must | 0: should | 0: shall
BeRest -> 0: Pred Adjs | 0: NP Adjs | 0: VP.ing | 0: not Pred Adjs
Any -> 0: Sub.sg | 0: Sub.pl | 0: I
Subj2 -> 0: Sub.pl | 0: I
Wh -> 0: what | 0: where | 0: when | 0: why | 0: how | 0: who | 0: how often | 0: how much | 0: which Nb.sg
Wh -> 0: what Nb.sg
"""
