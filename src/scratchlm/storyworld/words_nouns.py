"""Countable and mass nouns by semantic class; `one/many` gives an irregular plural."""

# Classes are what verbs select (one eats food, climbs trees); the recogniser forgets them.
COUNT_NOUNS: dict[str, str] = {
    # Nouns that frames and rules name; no verb selects this class.
    "plain": """food colour treasure pet animal bird town home house name friend day night morning evening afternoon
        week year hour minute moment time way place thing person/people word side end start top middle bottom kind sort
        owner story smile tear life/lives heart voice face hair turn prize present gift help reward neighbour instrument
        job work light fire smell price size summer winter spring autumn month season birthday part group line row set
        number half/halves eye noon world sky village city market corner nap rest walk look swim drink bite sip try meal
        fact air mess smoke stairs/stairs arms/arms postman/postmen guest money market fire water trade prize present
        letter cloud""",
    "role": """farmer miller baker sailor hunter painter singer dancer teacher doctor nurse judge mayor king queen
        prince princess knight wizard witch giant pirate thief/thieves beggar merchant peddler traveller shepherd
        gardener cook waiter clerk guard soldier captain fisherman/fishermen woodcutter blacksmith carpenter builder
        mason weaver tailor potter cobbler barber butcher driver pilot inventor poet writer reader student pupil scholar
        librarian juggler clown acrobat drummer piper fiddler stranger visitor guest neighbour cousin uncle aunt brother
        sister grandmother grandfather nephew niece widow twin child/children boy girl man/men woman/women baby lady
        gentleman/gentlemen villager ranger keeper porter postman/postmen butler maid hermit monk nun beekeeper goatherd
        swimmer runner rider climber diver explorer champion hero/heroes helper partner leader winner loser crowd family
        team""",
    "animal": """dog cat cow horse pig goat sheep/sheep lamb calf/calves foal donkey mule ox/oxen pony puppy kitten
        rabbit hare mouse/mice rat squirrel hedgehog mole badger fox wolf/wolves bear cub deer/deer fawn stag otter
        beaver weasel frog toad newt lizard snake turtle tortoise snail worm beetle ant bee wasp butterfly moth ladybird
        grasshopper cricket spider hamster ferret lion tiger monkey camel elephant zebra giraffe hippo walrus seal
        dolphin whale crab""",
    "bird": """bird hen rooster chick duck duckling goose/geese swan turkey pigeon dove sparrow robin wren thrush
        blackbird crow raven magpie owl hawk falcon eagle heron stork crane gull puffin parrot peacock swallow finch
        lark nightingale cuckoo woodpecker kingfisher pelican penguin""",
    "fruit": """apple pear plum peach cherry berry grape lemon orange melon fig date apricot banana strawberry raspberry
        blackberry blueberry nut walnut chestnut acorn carrot turnip onion potato/potatoes tomato/tomatoes cabbage
        pumpkin cucumber bean pea leek radish mushroom pepper""",
    "food": """pie cake bun loaf/loaves roll cookie biscuit pancake waffle dumpling pudding tart muffin sandwich sausage
        egg omelette noodle cracker pretzel stew soup salad pasty bagel scone wafer doughnut candy lollipop meatball
        pickle""",
    "plant": """rose daisy tulip lily poppy violet daffodil sunflower bluebell buttercup dandelion iris pansy snowdrop
        lavender flower weed fern herb vine bush shrub hedge thistle nettle clover reed seed bulb seedling sapling""",
    "tree": """oak elm ash beech birch willow pine fir cedar maple poplar hazel holly hawthorn yew rowan tree chestnut
        palm spruce""",
    "tool": """hammer saw axe spade shovel rake hoe fork knife/knives spoon needle nail screw rope ladder bucket broom
        mop brush comb hook chain pulley lever wrench chisel file drill tape ruler pencil pen crayon paintbrush scissor
        lantern lamp torch candle match compass telescope magnet net fishhook trowel wheelbarrow sieve ladle pan kettle
        pot skillet whisk grater thimble spindle anvil bellow sponge clamp pickaxe sickle scythe""",
    "toy": """ball doll kite top puppet marble drum whistle balloon puzzle yoyo hoop skate sled swing rattle block robot
        teddy dice/dice rocket domino windmill pinwheel sailboat mask scooter slingshot""",
    "clothing": """hat cap scarf/scarves coat jacket shirt dress skirt apron cloak shawl sweater vest glove mitten sock
        shoe boot slipper sandal belt button ribbon bonnet hood pocket sleeve collar blanket towel quilt handkerchief
        robe gown tunic costume""",
    "treasure": """ring necklace bracelet brooch crown coin medal pearl ruby emerald diamond jewel locket amulet trophy
        statue vase goblet bell clock watch mirror key shell feather pebble crystal stamp badge charm gem figurine
        portrait""",
    "book": """book letter map note story poem diary newspaper list recipe sign scroll postcard riddle message
        dictionary poster ticket notebook page chapter song picture drawing painting photograph""",
    "container": """box basket bag sack barrel chest drawer jar bottle jug cup bowl mug plate tray suitcase trunk crate
        purse wallet envelope pouch bin tub pail flask casket tin parcel package bundle backpack""",
    "furniture": """table chair bench stool bed cradle sofa desk shelf/shelves cupboard wardrobe carpet rug curtain
        pillow cushion door window stove oven fireplace staircase hammock bookcase ladderback footstool""",
    "vehicle": """cart wagon carriage coach bicycle sleigh boat ship raft canoe ferry barge train tram bus truck tractor
        balloon plane car van lorry tricycle yacht""",
    "building": """house cottage hut cabin barn stable shed mill castle tower palace church chapel school library shop
        bakery inn tavern hotel theatre museum hospital station workshop factory lighthouse farmhouse temple greenhouse
        windmill smithy kennel henhouse tent market gatehouse warehouse""",
    "room": """kitchen bedroom parlour attic cellar pantry hall hallway corridor porch balcony classroom office studio
        nursery dungeon laundry""",
    "outdoor": """garden orchard field meadow pasture forest wood hill mountain valley cliff cave beach shore island
        river stream brook lake pond pool waterfall bay harbour marsh swamp desert plain moor ridge canyon path road
        lane street track trail bridge gate fence wall yard courtyard square park playground well fountain ditch tunnel
        crossroads/crossroads vineyard clearing riverbank hillside farmyard roadside dock pier dune glade quarry""",
    "sky": "sun moon star cloud rainbow storm breeze wind shadow sunset sunrise",
    "body": """hand foot/feet finger toe arm leg knee elbow shoulder head nose ear eye mouth chin cheek neck back paw
        tail wing beak whisker hoof/hooves horn""",
    "idea": """idea plan secret dream wish promise joke lesson question answer reason rule mistake problem trick
        surprise chance memory thought hope choice adventure task job quarrel excuse""",
    "event": """party feast wedding festival fair parade race game contest concert dance picnic journey trip holiday
        birthday meeting ceremony play show supper dinner lunch breakfast harvest""",
    "sound": """noise sound cry shout whisper laugh sigh knock bang splash creak rustle hum growl squeak roar howl crash
        thump click rumble echo/echoes""",
    "part": """roof chimney floor corner edge step handle wheel lid leaf/leaves branch root twig log stick stone rock
        brick plank post pole pipe string thread patch hole crack puddle heap pile stack nest web hive spark flame
        bubble drop crumb slice piece""",
}

MASS_NOUNS: dict[str, str] = {
    "meal": """bread butter cheese honey jam rice porridge soup meat ham bacon fish chicken beef gravy sugar salt pepper
        flour dough cream custard chocolate toffee popcorn spaghetti toast oatmeal mustard pastry marmalade syrup
        cinnamon garlic ginger corn""",
    "drink": "water milk tea coffee juice cocoa lemonade cider broth punch",
    "stuff": """wood stone iron gold silver copper glass paper leather wool cotton silk clay sand straw hay grass moss
        mud snow ice dust smoke wax paint ink glue soap string wire velvet linen cloth marble bronze brass tin steel
        chalk coal ivory amber pewter oak pine granite felt lace fur rubber crystal""",
    "mealtime": "breakfast lunch supper dinner tea school bed church",
    "plain": """food work time money air smoke glue homework weather music news help home light fire hair everyone town
        school bed supper dinner""",
    "feeling": """joy pride fear anger courage patience kindness luck love sadness trouble hope care wisdom comfort
        peace silence fun laughter friendship relief surprise help advice news music work magic trust""",
    "nature": "rain thunder lightning fog mist frost hail sunshine moonlight sunlight darkness starlight dew",
}
