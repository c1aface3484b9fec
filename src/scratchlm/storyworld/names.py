"""Names and attribute values of the world; recurring people and passers-by never share a name."""

RECURRING_WOMEN = """Mara Nell Ivy Rosa Hazel Clara Edith Flora Greta Wilma Tess Bella Celia Dora Esme Freya Gwen Hilda
    Isla Juno Kira Lena Mina Nora Olga Pearl Petra Quilla Rhoda Sylvie Thea Una Vera"""
RECURRING_MEN = """Tom Ben Oscar Felix Hugo Jasper Kit Leo Milo Ned Otto Percy Rufus Silas Toby Victor Walter Abel Boris
    Caleb Dexter Edgar Fergus Gus Harvey Igor Jonas Kurt Lloyd Magnus Noah Owen Piers"""

MINOR_WOMEN = """Ada Agnes Alice Amber Amy Anita Anna April Astrid Audrey Beth Betty Bonnie Brenda Bridget Carmen Cathy
    Cora Daphne Della Diana Donna Edna Eileen Elena Ella Ellen Elsie Emma Erica Eva Fay Fiona Frida Gail Gemma Gina
    Gloria Grace Hannah Hattie Helen Holly Ida Inga Irene Iris Jane Janet Jean Jenny Jill Joan Josie Joyce Judy Julia
    Karen Kate Lara Laura Lily Linda Lisa Lola Lucy Lydia Mabel Maggie Martha Mary Maud Maya Megan Milly Molly Nadia
    Nancy Naomi Nina Opal Paula Peggy Penny Polly Rachel Rita Robin Rosie Ruby Ruth Sally Sandra Sara Selma Stella Susan
    Tania Tilda Tina Trudy Violet Wanda Wendy Willa Winnie Yvonne Zelda Zoe"""
MINOR_MEN = """Adam Alan Albert Alec Alfie Andrew Archie Arnold Arthur Barney Basil Bert Bill Bruce Bruno Carl Cecil
    Charlie Clive Colin Cyril Dan David Dennis Derek Don Duncan Earl Eddie Elmer Eric Ernest Evan Finn Frank Fred Gary
    George Gilbert Giles Glen Gordon Graham Grant Greg Guy Hal Harold Harry Henry Herman Howard Ian Ivan Jack Jacob
    James Jeff Jerome Jim Joe John Joel Keith Ken Kevin Larry Lars Lewis Luke Mark Martin Matt Max Miles Nathan Neil
    Nick Nigel Norman Oliver Oswald Patrick Paul Peter Philip Ralph Ray Rex Robert Roger Ron Rory Roy Sam Samuel Scott
    Seth Simon Stanley Stefan Steve Ted Theo Tim Tony Vernon Vince Warren Will"""

TOWN_STARTS = "Oak Mill Elm Ash Stone Fern Brook Wolf Hay Black Green White Red Lake Thorn Rose Fox Salt Bell Winter"
TOWN_ENDS = "ford brook stead well bridge field wick haven dale ton mere wood port gate cliff hurst ley moor marsh burn"

# The values of each attribute that is no town; a food with its form in general statements, where that is another.
VALUES: dict[str, str] = {
    "job": """baker miller tailor doctor teacher painter farmer sailor potter weaver gardener carpenter shepherd barber
        cobbler pilot judge poet juggler librarian""",
    "pet": """goat parrot rabbit donkey cat dog goose tortoise pony hedgehog fox owl pig mouse duck squirrel frog crow
        lamb ferret""",
    "food": """soup honey cheese plum|plums pancake|pancakes porridge carrot|carrots toffee noodle|noodles
        cherry|cherries mushroom|mushrooms gingerbread walnut|walnuts rice melon|melons pumpkin|pumpkins custard
        dumpling|dumplings chocolate sausage|sausages""",
    "colour": """red blue green yellow white black brown grey pink purple orange scarlet turquoise violet gold silver
        cream crimson indigo lilac""",
    "instrument": """flute fiddle drum harp trumpet piano guitar horn banjo cello accordion violin lute organ tuba
        whistle bagpipes trombone mandolin tambourine""",
    "treasure": """ring compass lantern locket coin feather crown pearl kite clock mirror shell telescope medal whistle
        doll brooch key book umbrella""",
    "known": """bells bridges roses windmills bread markets apples glass boats songs wool statues fountains dances
        candles clocks gardens races pies towers""",
    "site": """river lake hill forest harbour meadow mountain cliff marsh valley moor bay waterfall desert canal swamp
        beach cave orchard quarry""",
    "material": """oak gold silver glass iron copper marble bronze clay stone brass steel granite ivory crystal tin pine
        amber pewter coal""",
}

SPECIAL_FIRST = "Great Old Silent Golden Lucky Crooked Laughing Sleeping Dancing Broken"
SPECIAL_SECOND = "Bell Clock Gate Tower Statue Fountain Wheel Bridge Throne Anchor"
