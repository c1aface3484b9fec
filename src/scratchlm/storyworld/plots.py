"""The plots as data: what happens, in order, with several ways to say each step.

`== name | thing=class ...` starts a plot and casts its slots from noun classes (`needs=A.pet` takes only heroes whose
pet may be told). `- ` starts a step, `/ ` another way to say it, `? ` a step that is sometimes left out, `@` asks the
teller for facts or for something beside the plot. `$A` and `$B` are the two people; `$a $a.o $a.p` their pronouns;
`$thing` a noun, `$thing.adj` its lasting adjective. `A: words ,` is direct speech, closed by `,` `?` or `!`; `~` is a
free tail. Every line is a sentential form of the grammar's `S` (tests/storyworld/test_grammar.py checks it), so
whatever it expands to parses.
"""

INTROS = """
- in the town of $A.town lived a Adj/character $A.job named $A .
/ there was once a Adj/character $A.kind named $A , who loved $A.food .
/ $A was a Adj/character $A.job from $A.town .
/ $A , a $A.job from $A.town , Do.pastsg ~ .
/ $A was a $A.job and lived in $A.town .
/ $A the $A.job Do.pastsg Time .
/ $A , who lived in $A.town , Do.pastsg Time .
/ $A lived in $A.town with a pet $A.pet .
"""

# What may open a story or follow a fact that opens it.
INCIDENTS = """
- TimeFront/open , $A the $A.job Do.pastsg ~ .
/ TimeFront/open , $A Do.pastsg in $A.town .
/ TimeFront/open , $A Do.pastsg ~ .
/ TimeFront/open , $A and $a.p pet $A.pet Vmove.pastpl Path .
/ TimeFront/open , $A sat Loc and played the $A.instrument .
/ TimeFront/open , while $A was Do.ing , Nature .
/ $A and $B were good friends .
/ $A woke up early because $a had to Do.base .
"""

CLOSINGS = """
- $A and $B Vmove.pastpl home together , and they were Mood/good .
/ from that day on , $A and $B were the best of friends .
/ that night , $A fell asleep with a smile .
/ $A was Mood/good , and so was everyone else .
/ in the end , $A and $B shared some Nb/meal.mass and laughed .
/ A: what a Adj/thought day !
/ they all had NP/edible for supper , and Nature .
/ $A never forgot that day .
/ $A went home to $A.town and slept well .
/ B: you are a good friend , $A ,
/ TimeFront/late , $A and $B Do.pastpl together .
/ TimeFront/late , $A told NP/role about the Nb/event.sg , and they all laughed .
/ A: let us Do.base again soon !
/ $A learned that it is Adj/hardness to Do.base without a friend .
"""

SCENES = """
- the Nb/outdoor.sg was Adj/land and Adj/land .
/ the Nb/sky.sg Vi/sky.past Path .
/ it was a Adj/weather day , and the N/sky.pl Vi/sky.past .
/ there was a Nb/building.sg Loc .
/ there were Num Nb/bird.pl Loc .
/ a Nb/animal.sg Vi/animal.past Loc .
/ the N/building.sg was as Adj/size as a N/building.sg .
/ the Nb/plant.pl smelled Adj/taste TimeEnd .
/ somewhere a Nb/bird.sg Vi/animal.past .
/ Nature , and Beast .
/ the Nb/part.sg of the N/building.sg was Adj/look .
/ it was Adj/weather , and the Nb/outdoor.sg was full of Nb/role.pl .
/ the N/animal.pl were Comp than the N/bird.pl .
/ Loc/front stood a Nb/building.sg with a Nb/part.sg .
/ Loc/front , a Nb/role.sg was Do.ing .
/ there were Num Nb/many.pl Loc .
/ Loc/front stood Num Nb/many.pl .
/ Adj/noise N/sound.pl came from the N/room.sg .
/ the Nb/many.pl were Adj/size and Adj/look .
/ the N/animal.pl were Vi/animal.ing Loc .
/ the Nb/bird.pl Vi/animal.past because Nature .
/ in the N/room.sg of NP/someone.sg stood NP/made.sg .
/ the air smelled of N/plant.pl and N/meal.mass .
"""

FILLERS = """
- $A Do.pastsg and Do.pastsg ~ .
/ $A Do.pastsg , but $a did not Do.base .
/ $A wanted to Do.base , so $a Do.pastsg .
/ although Nature , $A Do.pastsg .
/ $A tried to Do.base Manner .
/ $A saw a Nb/animal.sg that was Do.ing Loc .
/ $A could hear the Nb/sound.sg of a Nb/animal.sg .
/ $A felt Mood/bad , but $a tried to smile .
/ $A had never Do.pp before .
/ $A put NP/thing Loc and Do.pastsg .
/ $A wondered if NP/role.sg would Do.base .
/ $A knew that it was Adj/hardness to Do.base .
/ $A remembered that $a.p N/role.sg used to Do.base .
/ $A thought about NP/idea ~ .
/ $A stopped Do.ing when Nature .
/ $A gave NP/role.sg NP/thing because $a was Mood/good .
/ $A asked NP/role.sg to Do.base .
/ $A was too Adj/bad to Do.base .
/ A: did you Do.base ?
/ A: I will Do.base ~ ,
/ A: I have never Do.pp ,
/ A: what a Nb/outdoor.sg !
/ A: let us Do.base ,
/ A: please do not Do.base !
/ A: can you see the Nb/sky.sg ?
/ A: do you want to Do.base ?
/ A: I saw a Nb/animal.sg Loc ,
/ A: I am Mood/good today ,
/ A: why is the N/outdoor.sg so Adj/land ?
/ A: look at that Nb/bird.sg !
/ A: I think that the Nb/building.sg is very Adj/age ,
/ NP/role.sg Do.pastsg ~ .
/ NP/someone.sg Do.pastsg ~ .
/ NP/someone.sg came Vmove.ing Path .
/ NP/someone.sg and NP/someone.sg were Do.ing Loc .
/ $A found NP/owned.sg Loc .
/ NP/someone.sg Vi/person.past Manner .
/ NP/someone.sg was Vi/person.ing Loc .
/ the Nb/role.pl were Vmove.ing Path .
/ the Nb/role.pl Vi/person.past Loc .
/ NP/someone.sg counted the Nb/many.pl .
/ NP/someone.sg was Vt/role.ing the Nb/role.pl .
/ NP/someone.sg was Vt/animal.ing the N/animal.pl .
/ NP/owned.sg Vi/thing.past Loc .
/ NP/someone.sg had Num N/tool.pl and Num N/thing.pl .
/ A: I see Num N/animal.pl and Num Nb/many.pl ,
/ $A could hear NP/someone.sg Vi/person.ing Loc .
/ $A kept Do.ing ~ .
/ $A Vt/body.past $a.p N/body.pl and Do.pastsg .
/ $A Vt/body.past $a.p N/body.sg because $a was Mood/bad .
/ $A was full of N/feeling.mass ~ .
/ $A was Comp than NP/someone.sg .
/ A: NP/someone.sg often Do.pressg ,
/ A: my N/role.sg Do.pressg TimeEnd ,
/ A: NP/someone.sg never Do.pressg ,
/ A: every day , NP/someone.sg Do.pressg ,
/ A: my N/role.sg always Do.pressg , and I always Do.pres1 ,
/ A: I love Do.ing ,
/ A: do you know NP/someone.sg ?
/ NP/someone.sg wanted to Do.base , but $A said no .
/ NP/role.sg and NP/role.sg Do.pastpl together .
/ Num Nb/role.pl Do.pastpl Loc .
/ $A sat down Loc and ate some Nb/meal.mass .
/ $A smelled Nb/meal.mass and felt hungry .
/ Adv/sentence , a Nb/animal.sg Vmove.past Path and Vi/animal.past .
"""

PLOTS = """
== lost | needs=A.treasure place=furniture outdoor=outdoor room=room
- $A could not find $a.p $A.treasure anywhere ~ .
/ $A looked for $a.p $A.treasure , but it was gone .
/ TimeFront/mid , $A saw that $a.p $A.treasure was missing .
? A: where is my $A.treasure ?
/ A: I have lost my Adj/look $A.treasure !
/ $A was Mood/bad and began to cry .
@fact A
- $A searched the $room and the N/building.sg , but found only a Nb/tool.sg .
/ $A looked in every N/container.sg and under every N/furniture.sg .
@do A
- then $A met $B Loc .
/ $B came PrepPath/outdoor the $outdoor because $b heard the noise .
/ $a asked $B for help , and $B put down $b.p N/tool.sg .
@fact B
- B: I will help you ,
/ B: when did you last see your $A.treasure ?
/ $B , who was very Adj/character , offered to help $A .
? A: I had it in the $room ,
/ the two friends went back to the $room and searched it Manner .
/ $A and $B walked slowly PrepPath/outdoor the $outdoor and looked at every Nb/part.sg .
- there was the $A.treasure , under the $place !
/ at last , $B saw something Adj/look under the $place , and it was the $A.treasure .
/ $A looked under the old $place and found the $A.treasure .
? A: thank you , $B !
/ $A was so Adj/good that $a hugged $B .
/ $A gave $B NP/edible to thank $b.o .
@end

== found | thing=treasure place=outdoor container=container
- Loc , $A found a $thing.adj $thing .
/ $A saw something Adj/look in the $place , and it was a $thing.adj $thing .
/ a $thing.adj $thing lay in the $place , and $A picked up the $thing .
@fact A
- A: whose $thing is this ?
/ $A wondered who had lost the $thing .
/ $A wanted to keep the $thing , but $a knew that it was wrong .
? $A put it in a $container and asked everyone in the N/building.sg .
/ NP/role.sg did not know the $thing , and NP/role.sg did not know it .
@do A
- then $B came PrepPath/outdoor the $place and looked very Adj/bad .
/ Loc , $B was looking for a $thing .
@fact B
- B: I have lost my $thing ,
/ B: have you seen a $thing.adj $thing ?
- A: is this your $thing ?
/ $A opened the $container and showed $B the $thing .
? $B was so Adj/good that $b began to Vi/person.base .
/ B: yes , that is my $thing !
- $B gave $A NP/thing for being so honest .
/ B: you are very honest , $A ,
@end

== help | thing=vehicle tool=tool place=outdoor
- the $thing.adj $thing of $A broke Loc .
/ TimeFront/mid , a wheel came off $A 's $thing .
/ $A pushed $a.p $thing.adj $thing PrepPath/outdoor the $place , but it would not move .
? A: my $thing is broken ,
/ $A was Mood/bad because $a had to go PrepPath/building the N/building.sg .
@fact A
@do A
- just then , $B came along with a $tool.adj $tool .
/ $B saw the broken $thing and stopped .
@fact B
? A: can you fix it ?
/ B: do you need some help ?
- $B took the $tool and Do.pastsg ~ .
/ with the $tool , $B fixed the $thing Manner .
/ $B worked on the $thing until dark .
- soon the $thing was as good as new .
/ at last , the $thing could move again .
? $A gave $B a Nb/fruit.sg to thank $b.o .
/ A: how can I thank you ?
@end

== animal | animal=animal place=outdoor thing=clothing tool=tool
- near the $place , $A heard a Nb/sound.sg .
/ a $animal.adj $animal had fallen into the $place .
/ $A found a $animal.adj $animal in the $place ~ .
- the $animal was hurt and could not Vmove.base .
/ the $animal was cold and afraid .
/ the little $animal was Mood/bad and Vi/animal.past TimeEnd .
? A: do not be afraid , little $animal ,
/ $A wanted to help the $animal , so $a called $B .
@fact A
- $B brought a $tool.adj $tool and a Nb/clothing.sg .
/ $B , who knew everything about animals , came at once .
@fact B
? B: hold the $animal while I fetch a $tool ,
/ with the $tool , they pulled the $animal out of the $place .
/ $A wrapped the $animal in a $thing.adj $thing and carried it home .
@do B
- they gave the $animal some Nb/drink.mass and NP/edible .
/ $A fed the $animal every day until it was strong again .
- a week later , the $animal could Vmove.base again .
/ the $animal Vi/animal.past because it was so happy .
/ the $animal never forgot $A and came back every TimeN.sg .
@end

== pet | needs=A.pet place=tree room=room outdoor=outdoor
- $A 's pet $A.pet ran away ~ .
/ TimeFront/mid , the pet $A.pet of $A was gone .
/ the pet $A.pet saw a Nb/bird.sg and ran PrepPath/outdoor the $outdoor .
? A: come back !
/ $A called its name , but nobody answered .
/ $A ran after it until $a was out of breath .
@fact A
@do A
- Loc , $B heard a Nb/sound.sg .
/ $A asked $B to look for it near the $outdoor .
@fact B
? B: I think that I know where it is ,
/ B: does it like NP/edible ?
- $B put some Nb/meal.mass under the $place and waited .
/ they looked behind every $place and in every N/container.sg .
- soon the $A.pet came down from the $place and ate the food .
/ the $A.pet was Adj/bad and sat under a Nb/tree.sg .
- $A held it in $a.p arms and Vi/person.past .
/ A: never run away again !
/ the $A.pet was Adj/beast , and $A was Mood/good .
@end

== build | thing=building tool=tool stuff=furniture outdoor=outdoor
- $A wanted to build a $thing near the $outdoor .
/ A: I want to build a $thing.adj $thing ,
/ $A had dreamed of a $thing.adj $thing for years .
- first , $A needed wood and N/stuff.mass .
/ $A drew a plan on a piece of paper .
/ $A bought Num Nb/part.pl from a Nb/role.sg .
@fact A
? but the Nb/part.sg was too Adj/size to carry .
/ it was hard work , and $A grew very Adj/bad .
@do A
- $B brought a $tool.adj $tool and began to work .
/ B: we can do it together ,
/ $B saw $A and put down $b.p Nb/container.sg .
@fact B
? they worked TimeEnd , and $A sang a song .
/ $A held the N/part.pl while $B used the $tool .
/ $B dropped the $tool on $b.p foot , and $A had to laugh .
- at last , the $thing was finished .
/ the $thing stood near the $outdoor , and its N/part.sg was Adj/color .
? everyone came to see the new $thing .
/ $A painted the $stuff $A.colour because $a loved that colour .
/ A: now we have a $thing !
@end

== journey | vehicle=vehicle outdoor=outdoor building=building food=food
- $A had to go to $P .
/ a Nb/book.sg called $A to $P .
/ A: I have never seen $P ,
@fact P
- $A packed some Nb/meal.mass and NP/thing , and left before dawn .
/ $A took the $vehicle.adj $vehicle , because the way was long .
/ $A put a $food in $a.p N/container.sg and went outside .
@fact A
? on the way , $A crossed a Nb/outdoor.sg and a Nb/outdoor.sg .
/ the road went PrepPath/outdoor the $outdoor and past a Nb/building.sg .
/ a Nb/animal.sg stood on the road and would not move .
@do A
- Loc , $A met $B , who was going to $P too .
/ in a $building.adj $building by the road , $A met $B .
@fact B
? B: let us go together ,
/ B: are you going to $P ?
/ they shared the $food and talked about N/idea.pl .
- at night , they slept in the $building because Nature .
/ when it grew dark , $A was afraid , but $B sang a song .
- the next day , they saw the N/building.pl of $P .
/ at last , they reached $P , and $A was Mood/good .
@end
"""
