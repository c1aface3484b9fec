"""More plots, in the notation of `plots`."""

MORE_PLOTS = """
== storm | building=building outdoor=outdoor container=container
- dark clouds came over the $outdoor .
/ the wind grew stronger , and Nature .
/ TimeFront/mid , a storm came PrepPath/outdoor the $outdoor .
? $A was Do.ing when the rain began .
/ $A closed the windows and lit a Nb/tool.sg .
/ A: I am afraid of thunder ,
@fact A
- the lightning hit a Nb/tree.sg , and it fell on the N/building.sg .
/ the wind took the roof off the $building .
/ the water in the $outdoor rose and rose .
- $B knocked on the door because $b was Adj/bad and wet .
/ $A heard a cry and saw $B Loc .
@fact B
- A: come in , $B !
/ $A gave $B a Nb/clothing.sg and a cup of Nb/drink.mass .
@do B
? they sat close to the fire and told Nb/book.pl until the storm was over .
/ $B played with NP/toy to forget the noise .
/ all night they carried water out of the $building in a $container .
- in the morning , the sun Vi/sky.past , and a rainbow stood over the $outdoor .
/ when the storm was over , they mended the roof together .
/ A: the storm is over !
@end

== quarrel | thing=thing place=outdoor
- $A and $B both wanted the same $thing .
/ $B had broken $A 's $thing .
/ $A took the $thing.adj $thing without asking $B .
? A: give me that $thing !
/ B: it is mine !
/ they shouted at each other until everyone heard it .
@fact A
- $A was so Adj/bad that $a Vmove.past Path .
/ $B did not speak to $A for days .
/ $A went home alone and Vi/person.past .
@do A
- but it was no fun to Do.base alone .
/ $B sat Loc and thought of $A .
/ $A missed $a.p friend very much .
@fact B
- B: I am sorry about the $thing ,
/ A: I was wrong , and you were right ,
/ $B wrote a Nb/book.sg to say that $b was sorry .
- $A forgave $B at once .
/ they decided to share the $thing from then on .
/ $B fixed the $thing with some glue and gave it back .
? A: you can have it every TimeN.sg ,
/ they sat under a Nb/tree.sg and ate NP/edible together .
@end

== market | thing=thing food=fruit container=container
- the market of $P was open .
/ $A went to the market in $P with a $container.adj $container .
/ Num Nb/role.pl came to the market in $P .
@fact P
- $A wanted to buy a $thing , but it was too dear .
/ there were N/fruit.pl , N/food.pl , and N/clothing.pl to buy .
/ a Nb/role.sg was selling Nb/fruit.pl and Nb/clothing.pl .
@fact A
? A: how much is the $thing ?
/ A: I have only Num coins ,
@do A
- $B stood behind a table and sold Nb/food.pl .
/ then $A met $B , who was buying a Nb/tool.sg .
@fact B
- B: I can lend you some money ,
/ B: give me your $container and you can have the $thing ,
/ $A gave $B Num Nb/fruit.pl for the $thing .
- so $A got the $thing , and $B got the $food .
/ both of them were Mood/good about the trade .
/ $A carried the $thing home in $a.p $container .
@end

== festival | food=food thing=clothing
- the people of $P had a festival every TimeN.sg .
/ everyone in $P was Mood/good because the festival was near .
/ A: I can hear the festival of $P ,
@fact P
- $A wanted to play the $A.instrument at the festival .
/ $A was asked to bake a Nb/food.sg for the festival .
/ $A made a $thing.adj $thing to wear .
@fact A
- but $A was too Adj/bad to Do.base .
/ on that day , the $thing was gone .
/ $A practised every day , but the song was too hard .
@do A
- $B came to help and brought NP/toy .
/ B: you must not be afraid ,
@fact B
- $B showed $A how to breathe slowly and smile .
/ they practised together until the sun went down .
- at the festival , Num Nb/role.pl danced Loc .
/ $A played so well that everyone clapped .
/ there was music , and the N/role.pl ate Nb/food.pl .
? A: I was not afraid at all !
/ the mayor gave $A a Nb/treasure.sg .
@end

== skill | place=outdoor
- $A wanted to learn how to Do.base .
/ A: I wish that I could Vmove.base like you , $B ,
/ $A had always wanted to Do.base .
@fact A
- $A tried , but $a fell into the mud .
/ at first , it was very Adj/hardness .
/ NP/role.sg laughed at $A , and $a blushed .
- B: I can teach you ,
/ $B , who was a Adj/character teacher , said that it was not hard .
@fact B
@do A
- every morning , $A practised near the $place .
/ B: try it once more !
/ they practised in the $place until $A was Adj/bad .
? A: it is too hard ,
/ $A wanted to give up , but $B said no .
- then , one day , $A could do it .
/ after Num weeks , $A was as good as $B .
/ slowly $A became better and better .
? A: look at me !
/ $B clapped , and $A was proud .
@end

== secret | place=room thing=treasure outdoor=outdoor
- $A had a secret .
/ A: can you keep a secret , $B ?
/ there was something that $A told nobody .
@fact A
- $a had found a Nb/room.sg behind a $thing.adj N/furniture.sg .
/ under the $outdoor , $A had found a old door .
/ $a was hiding a $thing.adj $thing for NP/role.sg .
@fact B
- $B promised to tell nobody .
/ B: what is it ?
/ B: I will not tell anyone ,
@do B
? they went down the stairs with a Nb/tool.sg .
/ $A opened the $place and showed $B the $thing .
/ they found a Nb/container.sg that was full of N/treasure.pl .
- it was a surprise for NP/role.sg .
/ A: it is a present for your birthday ,
/ inside lay a $thing.adj $thing and a Nb/book.sg .
- $B kept the secret for years .
/ $B was very Adj/good and laughed TimeEnd .
@end

== race | vehicle=vehicle outdoor=outdoor prize=treasure
- there was a race from the $outdoor to the N/building.sg .
/ A: I can run faster than you , $B !
/ every year , there was a race in $P .
@fact A
? the prize was a $prize.adj $prize .
/ the winner would get a $prize.adj $prize .
@fact B
- $A and $B stood at the start and waited for the bell .
/ when the bell rang , everyone ran as fast as possible .
/ $A was faster than all the others .
@do A
- but $A fell over a Nb/part.sg and hurt $a.p N/body.sg .
/ a Nb/animal.sg ran across the $outdoor , and $A stopped .
/ $B was behind , but $b did not give up .
- $B stopped to help $A up .
/ B: are you hurt ?
/ B: the race is not important ,
- they finished the race hand in hand .
/ a Nb/role.sg won , but $A and $B did not care .
/ $A and $B won together and shared the $prize .
? everyone cheered when they came in .
/ A: you are the real winner ,
@end

== cooking | food=food container=container fruit=fruit
- $A wanted to make a $food for $B .
/ A: let us make a $food.adj $food !
/ $B was coming to supper , so $A began to cook .
@fact B
- for the $food , $A needed flour , butter , and Num N/fruit.pl .
/ $A mixed flour and Nb/drink.mass in a $container.adj $container .
/ $A chopped the $fruit and stirred the dough .
@fact A
- but there was no N/meal.mass in the house .
/ $A forgot the $food in the oven , and it burned .
/ the pet $A.pet jumped on the table and ate the dough .
? A: oh no , my $food !
/ smoke came out of the oven , and $A opened the window .
/ $A was Mood/bad because the guests were near .
@do A
- $B came early and saw the mess .
/ B: do not worry , we can make a new one ,
- together they made a $food that was even better .
/ they cleaned the kitchen and started again .
/ $B had some $B.food in $b.p N/container.sg , and they ate that .
? the $food tasted Adj/taste and Adj/taste .
/ B: this is the best $food in the world !
@end

== letter | place=outdoor building=building
- a letter came for $A ~ .
/ the postman brought $A a Nb/book.sg .
/ $A found a letter under the door .
? it was from $B , and it smelled of N/plant.pl .
/ A: who wrote this ?
@fact B
- $B wrote that $b was Mood/bad and needed help .
/ in the letter , $B asked $A to come to the $building .
/ the letter said that there was a Nb/event.sg near the $place .
@fact A
- $A put on a Nb/clothing.sg and left at once .
/ $A wrote that $a would come soon .
/ $A read the letter twice and then Do.pastsg .
@do A
- when $A came to the $building , $B was waiting Loc .
/ PrepPath/outdoor the $place Vmove.past $A .
/ $A found $B in the $building , and they both laughed .
- B: I am so glad that you came ,
/ B: did you get my letter ?
/ $B opened the door and hugged $A .
? they talked until the moon rose .
/ A: write to me again soon ,
@end

== gift | thing=thing place=building
- it was the birthday of $B .
/ A: what can I give $B for a present ?
/ soon it would be $B 's birthday , and $A had no present .
@fact B
- $A wanted to give $B a $thing.adj $thing .
/ $A had no money , so $a decided to make a $thing .
/ NP/role.sg said that $B needed a new $thing .
@fact A
- $A went to the $place and asked for a $thing .
/ for days , $A worked on the $thing in secret .
@do A
? $A wrapped the $thing in Adj/color paper .
/ $A hid the $thing in a Nb/container.sg .
- at the party , $A gave $B the present .
/ on the day of the party , $B opened the Nb/container.sg .
- B: a $thing !
/ B: this is just what I wanted ,
/ $B was so Adj/good that $b danced PrepPath/building the $place .
? then they ate a Adj/size cake with Num candles .
/ A: I am glad that you like it ,
@end

== special | building=building animal=animal
- $A had always wanted to see the $S .
/ A: have you ever seen the $S ?
/ NP/role.sg told $A about the $S .
@fact S
- so $A asked $B to come along .
/ $A and $B left in the morning with some Nb/meal.mass .
/ $B , who had seen it before , showed $A the way .
@fact A
? on the way , they met a Nb/role.sg with a $animal.adj $animal .
/ they walked past a $building.adj $building and over a Nb/outdoor.sg .
@fact B
@do A
- when they saw the $S , they stood there without a word .
/ they stood in front of it , and $A could not say a word .
/ A: it is bigger than a N/building.sg !
- a Nb/role.sg told them the story of the $S .
/ $A touched it Manner , and it was cold .
/ $B drew a picture of the $S in a notebook .
@fact S
? B: I will never forget this ,
/ they looked at it until it was dark .
@end
"""
