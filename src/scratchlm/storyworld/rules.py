"""The grammar as data, read by both the generator (with weights and classes) and the recogniser (without).

`HEAD -> alternative | alternative`. Lower-case words and punctuation stand for themselves (`_` for a space inside a
phrase), capitalised items are categories, `X?30` is X three times in ten. `5:` is a weight in generation; `0:` marks an
alternative that only the recogniser uses, as are all after `HEAD =>`. `/class` restricts generation to sensible words.
In a rule with `.T` the rule is written for every tense and agreement of TENSES; a rule with `/c` for every noun class,
one with `.n` for `sg` and `pl`. An indented line continues the rule above it.
"""

# Tense and agreement of a verb phrase, with the form that its verb takes.
TENSES = {
    "pastsg": "past", "pastpl": "past", "pressg": "s", "prespl": "base", "pres1": "base", "base": "base", "ing": "ing",
    "pp": "pp",
}  # fmt: skip
NOUN_CLASSES = """role animal bird fruit food plant tree tool toy clothing treasure book container furniture vehicle
    building room outdoor sky body idea event sound part"""

RULES = """
# Which adjectives suit which nouns.
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

# Noun phrases. `NP.sg` and `NP.pl` agree with a verb, `NP` is an object of either number.
Nb/c.n -> 6: N/c.n | 2: A/c N/c.n
Nb/c.n => Adj/size A/c N/c.n | Adj , Adj N.n | Adj and Adj N.n | Degree Adj N.n
Nb.n => Adj one | Comp Adj N.n | Adj Adj Adj N.n | Adj Adj N.n | N.n of NP | Comp N.n | Name 's N.n
NP/c.sg -> 5: the Nb/c.sg | 5: a Nb/c.sg | Pos Nb/c.sg
NP/c.pl -> 3: the Nb/c.pl | Num Nb/c.pl | some Nb/c.pl | Pos Nb/c.pl
NP/c -> NP/c.sg | NP/c.pl
NP.sg => Det1 Nb.sg | Det1 Nb.mass | Nb.mass | Name | Town | Pronoun.any | NPbase.sg Rel.sg | NPbase.sg PPnoun |
    Name Appos | Det1 Nb.sg Name | Colour | the colour Colour | the Adj one | one of NP.pl | Name the Nb.sg |
    NPbase.sg PPnoun , who VP.pastsg | everyone else | nothing else | something Adj | Name , who VP.pastsg |
    Name , Det1 Nb.sg PPs | NPbase.sg , Det1 Nb.sg PPs ,
NP.pl => NPbase and NP | NP.sg and NP.sg | all the others | the others | both of Ob | all of Ob | some of Ob | two |
    both | they both | they all | we all | each other | Name and Name both | Num Nb.pl and Num Nb.pl | Det2 Nb.pl |
    Nb.pl | NPbase.pl Rel.pl | NPbase.pl PPnoun | NPbase and NPbase | NPbase , NPbase , and NPbase |
    NPbase , NPbase and NPbase
NPbase => NPbase.sg | NPbase.pl
NPbase.sg => Det1 Nb.sg | Det1 Nb.mass | Nb.mass | Name | Town | Pronoun.any
NPbase.pl => Det2 Nb.pl | Nb.pl
Nb/meal.mass -> N/meal.mass | A/meal N/meal.mass
Nb/drink.mass -> N/drink.mass | A/drink N/drink.mass
Nb/stuff.mass -> N/stuff.mass | A/stuff N/stuff.mass
Nb.mass => N.mass | Adj N.mass | N.mass of NP | Adj , Adj N.mass | Adj and Adj N.mass
NP/meal -> 3: some Nb/meal.mass | 2: the Nb/meal.mass | a piece of Nb/meal.mass | a bowl of Nb/meal.mass
NP/drink -> 2: some Nb/drink.mass | the Nb/drink.mass | a cup of Nb/drink.mass | a jug of Nb/drink.mass
NP/feeling -> 3: N/feeling.mass | some N/feeling.mass
Nb/thing.sg -> N/thing.sg | A/thing N/thing.sg
NP/someone.sg -> 3: Name/woman | 3: Name/man | Name/woman the N/role.sg | Name/man the N/role.sg
NP/owned.sg -> Name/woman 's Nb/thing.sg | Name/man 's Nb/thing.sg | the N/role.sg 's Nb/thing.sg
NP/made.sg -> a Nb/thing.sg made of N/stuff.mass | a Nb/building.sg made of N/stuff.mass
Nb/many.pl -> 4: Nb/tool.pl | Nb/container.pl | Nb/furniture.pl | Nb/vehicle.pl | Nb/tree.pl | Nb/part.pl |
    Nb/building.pl | Nb/room.pl | 3: Nb/bird.pl | 4: Nb/animal.pl | 3: Nb/role.pl | 4: Nb/outdoor.pl | Nb/body.pl |
    Nb/book.pl
NP/edible -> 3: NP/fruit | 3: NP/food | 3: NP/meal
NP/beast -> 3: NP/animal | NP/bird
NP/thing -> NP/tool | NP/toy | NP/clothing | NP/treasure | NP/book | NP/container
NP/sight -> NP/outdoor | NP/sky | NP/bird | NP/animal | NP/building | NP/vehicle
Det1 => the | a | this | that | every | each | another | some | no | any | Poss | only a | any other | just the |
    only the | one | such a | all the
Det2 => only Num | the last Num | the first Num | the | these | those | some | many | few | all | all the | both | no |
    Poss | Num | the Num | several | most | any | other | the other | Poss Num | a few
Poss => my | your | his | her | its | our | their | Name 's | the Nb.sg 's | Town 's | Pos | Pos Nb.sg 's | Pospl
Pronoun.any => everyone | everybody | nobody | something | nothing | everything | somebody | someone | anything |
    anyone | no_one | this | that
Appos => , a Nb.sg PPs , | , who VP.pastsg , | , who VP.pressg , | , Poss Nb.sg ,
Sub.sg => NP.sg | Pro.sg | it
Sub.pl => NP.pl | Pro.pl | they | we | you
Ob => NP | Pob | Pobpl | me | it | us | them | you | Reflexive
NP => NP.sg | NP.pl
Pro.sg => he | she
Pro.pl => they
Pos => his | her
Pob => him | her
Pospl -> their
Pobpl -> them
Reflexive => himself | herself | itself | themselves | myself | yourself | ourselves
Rel.n => RelWord VP.pastn | RelWord VP.presn | that RelGap | whose N.n VP.pastn
RelWord => that | who | which
RelGap => Sub.sg Gap.pastsg | Sub.pl Gap.pastpl | Sub.sg Gap.pressg | Sub.pl Gap.prespl | I Gap.pastsg
PPnoun => of Ob | with Ob | Loc | from Ob | for Ob | about Ob | called Name | full of NP | named Name |
    made of Nb.mass | to Ob
PPs => PPnoun PPs |

# Verb phrases: a core with its complements, then adjuncts. `Do` is what a person might do next.
Do.T -> 7: Vt/edible.T NP/edible | 3: Vt/drink.T NP/drink | 3: Vt/plant.T NP/plant | 6: Vt/animal.T NP/beast |
    7: Vt/role.T NP/role | 8: Vt/thing.T NP/thing | 3: Vt/tool.T NP/tool | 2: Vt/toy.T NP/toy |
    5: Vt/role.T NP/someone.sg | 4: Vt/clothing.T NP/clothing | 3: Vt/book.T NP/book | 4: Vt/container.T NP/container |
    2: Vt/tree.T NP/tree | 3: Vt/furniture.T NP/furniture | 3: Vt/vehicle.T NP/vehicle | 3: Vt/building.T NP/building |
    3: Vt/outdoor.T NP/outdoor | 2: Vt/idea.T NP/idea | 2: Vt/event.T NP/event | Vt/sound.T NP/sound |
    4: Vt/thing.T NP/owned.sg | 9: Vt/thing.T Num Nb/many.pl | 2: Vt/part.T NP/part | 9: Vmove.T Path |
    9: Vi/person.T Manner | 4: Vplace.T NP/thing Loc | 2: Vt/thing.T NP/treasure | 2: look_at.T NP/sight |
    Vt/thing.T NP/made.sg
VP.T => VPone.T | VPone.T and VPone.T | VPone.T , VPone.T , and VPone.T | VPone.T but VPone.T |
    VPone.T , VPone.T and VPone.T | VPone.T , but VPone.T | VPone.T , and VPone.T
Core.T => say.T yes | say.T no | Vthat.T who VP.pastsg | Vask.T who VP.pastsg | Vask.T what VP.pastsg |
    Vthat.T what VP.pastsg | Vthat.T Wh Sub.sg Be.pressg | Vthat.T Wh Sub.sg Be.pastsg | Vd.T Ob Wh to VP.base |
    Vd.T Ob that Cl | listen.T to Ob VP.base | Vthat.T RelGapWhat | Vger.T Ob VP.ing | spend.T NP VP.ing |
    Vprep.T Ob VP.ing
RelGapWhat => what RelGap
VP.T => VPone.T and then VPone.T
VPone.T => Core.T Adjs | Adv Core.T Adjs | Freq Core.T Adjs | BeCore.T Adjs
Core.T => Vi.T | Vmove.T | Vt.T Ob | Vd.T Ob Ob | Vprep.T Ob | Do.T | Vplace.T Ob Loc | Vinf.T to VP.base |
    Vger.T VP.ing | Vobj.T Ob to VP.base | help.T Ob VP.base | Vlink.T AdjP | Vthat.T Cl | Vthat.T that Cl |
    Vask.T if Cl | Vask.T Wh Cl | Vthat.T Wh Cl | Vthat.T Wh to VP.base | become.T NP | look.T like NP | smell.T of NP |
    make.T Ob AdjP | make.T Ob VP.base | let.T Ob VP.base | name.T Ob Name | call.T Ob Name | Vd.T Ob to Ob |
    go.T VP.ing | come.T VP.ing | keep.T Ob AdjP | see.T Ob VP.ing | hear.T Ob VP.ing | find.T Ob VP.ing |
    find.T Ob AdjP | tell.T Ob that Cl | tell.T Ob Wh Cl | live.T | hear.T Ob VP.base | see.T Ob VP.base | sell.T Ob |
    taste.T AdjP | smell.T AdjP | Vobj.T Ob not to VP.base | paint.T Ob AdjP | ask.T Ob Wh Cl | ask.T Ob if Cl |
    turn.T AdjP | Do.T and Do.T
BeCore.T => Be.T Pred | Be.T not Pred | Be.T Freq Pred | Be.T Freq VP.ing | Be.T VP.ing | Have.T VP.pp |
    Have.T never VP.pp | Be.T not VP.ing | Have.T already VP.pp | Have.T not VP.pp | Have.T just VP.pp |
    Have.T to VP.base | Be.T going to VP.base
BeCore.pastsg => was NP.sg | was not NP.sg | was Freq NP.sg
BeCore.pastpl => were NP | were not NP | were Freq NP
BeCore.pressg => is NP.sg | is not NP.sg | is Freq NP.sg
BeCore.prespl => are NP | are not NP
BeCore.pres1 => am NP.sg | am not NP.sg
BeCore.base => be NP
BeCore.pp => been NP
BeCore.pastn => Modal VP.base | Modal not VP.base | did not VP.base | Modal never VP.base | Modal Freq VP.base
BeCore.pressg => ModalNow VP.base | does not VP.base | ModalNow not VP.base
BeCore.prespl => ModalNow VP.base | do not VP.base | ModalNow not VP.base
BeCore.pres1 => ModalNow VP.base | do not VP.base | ModalNow not VP.base | would VP.base
BeCore.prespl => would VP.base
Modal => could | would | might | should | had to | must | used to | had better
ModalNow => can | will | must | may | should | could | cannot | might
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
Pred => AdjP | Loc | Place | Passive | Name | AdjP and AdjP | like NP | about NP | the best of friends | With | PP |
    just like Ob | what RelGap | just what RelGap | mine | yours | to VP.base | for Ob | Where | from Town | gone |
    Time | with Ob | of Nb.mass | full of NP
Passive => Vobj.pp to VP.base | Vd.pp to Ob | Vplace.pp Loc | Vt.pp | Vt.pp by Ob | made of NP | called Name |
    Vprep.pp | known for NP | famous for NP
AdjP => Adj | Degree Adj | Comp | Comp than Ob | as Adj as Ob | Adj to VP.base | too Adj to VP.base | so Adj that Cl |
    Adj PrepOther Ob | Adj that Cl | Adj and Adj | much Comp | Adj , Adj , and Adj | Adj enough to VP.base |
    much Comp than Ob | as Adj as ever | Adj but Adj | Adj VP.ing | Degree Adj to VP.base | Degree Adj PrepOther Ob |
    Degree Comp
Degree => very | so | rather | quite | too | really | terribly | almost | a_little | even
Gap.T => GapCore.T Adjs
GapCore.T => Vt.T | Vprep.T | Vinf.T to Gap.base | Vd.T Ob | Vd.T to Ob | Vmove.T PrepPath | Vplace.T | Have.T Gap.pp |
    Be.T Gap.ing | live.T in | Vobj.T Ob to Gap.base | Vthat.T | Freq Vt.T | Vplace.T Loc
GapCore.pastn => Modal Gap.base
GapCore.prespl => ModalNow Gap.base

# Adjuncts of the verb phrase.
Adjs => Adjunct Adjs |
Adjunct => Manner | Loc | Path | Time | Purpose | Clause | Simile | PP | Adv | Loc/town | Place | Tail.sg | Tail.pl |
    Tail.first | , VP.ing | again | too | Reflexive | as well | once | both
PP => Comp than Ob | very much | more than Ob | from far away | at all | on the way | on the way to Ob | from then on |
    in PrepLoc Ob | from PrepLoc Ob | PP/pair | as always | more than ever
PP/pair => PrepLoc Ob and PrepLoc Ob | PrepPath Ob and PrepPath Ob | past Ob and over Ob
PP => while VP.ing | PrepOther Ob | PrepOther VP.ing | with Ob VP.ing
Manner -> 3: Adv/manner | With
Loc -> 4: PrepLoc/near the Nb/outdoor.sg | 3: PrepLoc/near the Nb/building.sg | 2: PrepLoc/near the Nb/tree.sg |
    3: PrepLoc/in the Nb/outdoor.sg | 2: PrepLoc/in the Nb/room.sg | PrepLoc/in the Nb/container.sg |
    3: PrepLoc/on the Nb/furniture.sg | PrepLoc/near a Nb/role.sg | PrepLoc/on the Nb/part.sg
Loc => PrepLoc Ob | in Town | near Town | in the middle of Ob | PrepLoc Ob and Ob | at home
Place => here | there | Where
Loc/town -> in Town
Path -> 4: PrepPath/outdoor the Nb/outdoor.sg | 3: PrepPath/building the Nb/building.sg |
    PrepPath/thing the Nb/furniture.sg | PrepPath/thing the Nb/part.sg | 2: to the Nb/event.sg | Where/direction
Path => PrepPath Ob | PrepPath Town | all the way PrepPath Ob | up and down | home to Town | back PrepPath Ob
Time -> 3: TimeEnd | 0: TimeFront | before N/mealtime.mass | after the N/event.sg | 0: every TimeN.sg |
    0: each TimeN.sg | 0: this TimeN.sg | 0: that TimeN.sg | 0: all Poss life | 0: Num TimeN.pl later |
    0: after Num TimeN.pl | 0: for Num TimeN.pl | 0: all the time | 0: one TimeN.sg
Purpose -> 0: to Gap.base | 3: to Do.base | 0: to VP.base | 0: in order to VP.base
Clause => because I VP.pastsg | SubWord Cl | Reason.sg | Reason.pl | When | so Adv that Cl | , SubWord Cl | , as if Cl
SubWord => because | when | while | after | before | until | if | although | even though | so that | as if | as |
    since | as soon as | where | as long as | though | whenever
Simile -> like a Nb/animal.sg | like a Nb/bird.sg | as Adj/beast as a N/animal.sg | as Adj/beast as a N/bird.sg |
    like a Nb/role.sg
Reason.sg -> 4: because Pro.sg was Mood/bad | 3: because Pro.sg wanted to Do.base | 3: because Nature |
    because Pro.sg loved NP/outdoor.pl | 2: because Pro.sg had to Do.base | 2: because Pro.sg was Mood/good |
    because Pro.sg hoped to Do.base
Reason.pl -> 4: because Pro.pl were Mood/bad | 3: because Pro.pl wanted to Do.base | 3: because Nature |
    2: because Pro.pl had to Do.base | 2: because Pro.pl were Mood/good
Mood/good -> 3: Adj/good | very Adj/good | so Adj/good
Mood/bad -> 3: Adj/bad | very Adj/bad | too Adj/bad | rather Adj/bad
AdjP => Mood | as Adj as Adj | too Adj to Gap.base | Adj to Gap.base | Degree Adj to Gap.base
When -> 2: while NP/someone.sg was Do.ing | 3: while Nature | 3: before Nature | 2: until Nature | 2: when Nature |
    3: while Beast | 2: although Nature | 2: as Nature
Nature -> 4: the Nb/sky.sg Vi/sky.past | 2: the Nb/sky.sg was Adj/weather | the N/nature.mass Vi/nature.past |
    2: the Nb/outdoor.sg was Adj/land | it was Adj/weather | the Nb/plant.pl Vi/plant.past | the N/sky.pl Vi/sky.past
Beast -> 3: a Nb/animal.sg Vi/animal.past Loc?40 | 2: a Nb/bird.sg Vi/animal.past Loc?40 | Num N/bird.pl Vmove.past Path
Tail.sg -> 3: Time | 4: Loc | 3: Reason.sg | 4: When | 5: while Do.ing | 2: Purpose | Simile | 2: Manner
Tail.first -> 4: Time | 3: Loc | 2: because Nature | because I was Mood/bad
Tail.pl -> 3: Time | 4: Loc | 3: Reason.pl | 4: When | 5: while Do.ing | 2: Purpose | Simile | 2: Manner

# Clauses and sentences, as the recogniser meets them; stories are sentential forms of `S` (see plots.py).
Cl => Cl.past | Cl.now
Cl.past => Sub.sg VP.pastsg | Sub.pl VP.pastpl | I VP.pastsg | Nature | Beast | There.past |
    Poss favourite food was NP Adjs
Cl.now => Sub.sg VP.pressg | Sub.pl VP.prespl | I VP.pres1 | There.now | Poss favourite food is NP Adjs
There.past => there Be.pastsg NP.sg PPs Adjs | there Be.pastpl NP.pl PPs Adjs | there Be.pastsg once NP.sg PPs |
    there once lived NP.sg PPs | there lived NP.sg PPs | there stood NP PPs | there was VP.ing | lived NP.sg PPs |
    stood NP.sg PPs
There.now => there Be.pressg NP.sg PPs Adjs | there Be.prespl NP.pl PPs Adjs
Decl => Body | Lead Body
Lead => Front , | Front | Adv | Where | Adv , | Conj | Front , Front , | Conj Front , | Conj Adv | then , Front , |
    then | first , | so
Body => Cl | Cl , Loc | Cl.past , Conj Cl.past | Cl.past and Cl.past | Cl.past but Cl.past |
    Cl.past , Conj Link Cl.past | Cl.past , Conj Cl.past , Conj Cl.past | Cl.past ; Cl.past | Cl.now , Conj Cl.now |
    Cl.now and Cl.now | Cl.now but Cl.now | Cl.now , Conj Link Cl.now | Cl.past , and so Be.pastsg Sub.sg |
    Cl , Conj Passive | Loc Inverted | Path Inverted | Place Inverted | so Adj was NP.sg that Cl
Link => Adv | then | Front ,
Inverted => Vplace.past NP | Vi.past NP | Vmove.past NP | Be.pastsg NP.sg | Be.pastpl NP.pl | lived NP | stood NP
Conj => and | but | so | yet | or | for
Front -> 4: TimeFront/mid | 2: Opening | Loc/front
Front => TimeFront | Time | Loc | Loc/town | SubWord Cl | Purpose | PP | With | Adv | Freq | VP.ing | PrepOther VP.ing |
    Path | every time Cl
Opening -> When | 4: Adv/sentence | after the Nb/event.sg | before the Nb/event.sg | during the Nb/event.sg
Loc/front -> PrepLoc/near the Nb/outdoor.sg | PrepLoc/in the Nb/outdoor.sg | PrepLoc/in the Nb/room.sg |
    PrepLoc/near the Nb/building.sg
S => Decl . | Decl ! | Ask ? | Talk | Shout !
Talk => << Said '' Tag . | Sub.sg Vsay.past SayHow , << Quote | Sub.pl Vsay.past , << Quote |
    Sub.sg Vask.past SayHow , << Quote | << Said '' Tag , << Quote | << Quote | << Said '' Tag . << Quote
Said => Inner , | Ask ? | Shout ! | Inner ! | Inner . Inner , | Inner . Ask ? | Shout ! Inner , | Ask ? Inner , |
    Inner . Inner ! | Shout ! Ask ? | Inner . Shout !
Quote => Utterance '' | Utterance Utterance '' | Utterance Utterance Utterance ''
Utterance => Inner . | Ask ? | Shout ! | Inner !
Inner => Decl | Command | Call , Decl | Decl , Name | Call , Command | Call | Short | Call , Short | Command , Call |
    Command and Cl | Command , Decl | Command , Conj Cl | Decl , Call | Decl , please | Decl too | Call , Call
Call => Adj N.sg | Interj | Name | Interj , Name | my friend | dear Name
Short => NP | Loc | of course | not yet | thank you for NP | thank you , Name | thank you for VP.ing | me too |
    good idea | Front
Command => VP.base | please VP.base | do not VP.base | let us VP.base | never VP.base | always VP.base |
    please do not VP.base
Shout => what a Nb.sg | how Adj | what Nb.pl | how Adj Sub.sg Be.pressg | Call | Call , Call | Command | NP |
    what a Nb.sg it is | how Adj Sub.pl Be.prespl | Interj , what a Nb.sg | Short | Call , Command | how Adj it was
Tag => Vsay.past Sub.sg SayHow | Sub.sg Vsay.past SayHow | Vask.past Sub.sg SayHow | Sub.sg Vask.past SayHow |
    Vsay.past Sub.pl SayHow | Sub.pl Vsay.past SayHow | Speech/tell Sub.sg SayHow | Sub.sg Speech/tell SayHow
Speech/tell -> 3: said | Vsay/tell.past
Speech/shout -> shouted | Vsay/shout.past
Speech/ask -> 3: asked | Vask.past
SayHow =>  | Adv | With | to Ob | and VP.pastsg | Adv and VP.pastsg | Ob
Ask => AskCore | Call , AskCore | AskCore , Name | Conj AskCore | Inner , Conj AskCore
AskCore => Wh Aux | Aux | who VP.pastsg | who VP.pressg | what VP.pastsg | Wh GapAux | who GapAux | why not VP.base |
    Wh Be.pressg NP.sg PPs Adjs | Wh Be.prespl NP.pl PPs Adjs | Wh Be.pastsg NP.sg PPs Adjs | what about Ob |
    how about VP.ing | what if Cl | Wh Be.pressg it | whose Nb.sg Be.pressg Sub.sg | what Nb.sg GapAux |
    which Nb.sg GapAux | Wh Be.pressg Passive
Aux => do Subj2 VP.base | does Sub.sg VP.base | did Any VP.base | AuxModal Any VP.base | Be.pressg Sub.sg BeRest |
    Be.prespl Sub.pl BeRest | Be.pastsg Sub.sg BeRest | Be.pastpl Sub.pl BeRest | have Subj2 VP.pp |
    have Subj2 ever VP.pp | has Sub.sg ever VP.pp | has Sub.sg VP.pp | am I BeRest | Be.pressg there NP.sg PPs Adjs |
    do not Subj2 VP.base
GapAux => do Subj2 Gap.base | does Sub.sg Gap.base | did Any Gap.base | AuxModal Any Gap.base |
    Be.prespl Sub.pl Gap.ing | Be.pressg Sub.sg Gap.ing | have Subj2 Gap.pp | has Sub.sg Gap.pp |
    Be.pastsg Sub.sg Gap.ing | do you Gap.base | do you do | shall we do | can we do | did you do
AuxModal => can | will | could | would | may | must | should | shall
BeRest => Pred Adjs | NP Adjs | VP.ing | not Pred Adjs
Any => Sub.sg | Sub.pl | I
Subj2 => Sub.pl | I
Wh => what | where | when | why | how | who | how often | how much | which Nb.sg | what Nb.sg
"""
