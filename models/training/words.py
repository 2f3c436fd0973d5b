"""Word lists the synthetic data is drawn from, and made-up words for learning to copy."""

from random import Random

NAMES = """
Ada Alan Alice Amir Ana Anders Andrea Anna Anton Aria Arthur Asha Astrid Ben Bruno Carla Carlos Chen Clara Daniel
David Diego Dora Edith Elena Eli Elif Emil Emma Erik Eva Fatima Felix Finn Frida George Grace Greta Hana Hannah
Hassan Hector Helen Hugo Ida Igor Ines Ingrid Irene Isaac Ivan Jack Jamal James Jana Jonas Jorge Julia Kai Karim
Kate Kenji Klara Lars Laura Lea Leo Lena Liam Lily Lina Lucas Lucy Luis Maja Marco Maria Marie Mark Martin Maya
Mei Mia Mila Milo Mina Nadia Nina Noah Nora Olga Oliver Omar Oscar Otto Pablo Paul Pedro Petra Priya Rachel Ravi
Rita Robert Rosa Ruth Sam Samir Sara Sofia Simon Stella Sven Tara Theo Thomas Tim Tom Uma Vera Victor Viola Walter
Wei Yara Yuki Yusuf Zara Zoe
""".split()

CITIES = """
Oslo Rome Paris Lima Cairo Berlin Madrid Lisbon Vienna Prague Dublin London Athens Tokyo Delhi Dakar Quito Seoul
Boston Chicago Denver Toronto Sydney Zurich Geneva Milan Naples Porto Bergen Warsaw Krakow Vilnius Riga Tallinn
Helsinki Stockholm Copenhagen Brussels Hamburg Munich Lyon Nairobi Lagos Accra Tunis Mumbai Hanoi Manila Osaka
Kyoto Havana Bogota Santiago Sofia Budapest Belgrade Zagreb
""".split()

COLOURS = "red green blue yellow orange purple pink brown black white grey teal violet gold silver".split()

FOODS = (
    "pizza soup rice bread cheese pasta salad curry tacos sushi apples pears plums dumplings noodles pie beans".split()
)

ANIMALS = "cat dog horse rabbit parrot hamster turtle goldfish goat hen duck snake lizard pony canary".split()

JOBS = """
teacher nurse baker farmer doctor painter pilot driver gardener writer singer plumber carpenter lawyer waiter cook
dentist librarian engineer sailor
""".split()

HOBBIES = (
    "chess football tennis knitting running cooking painting dancing hiking fishing gardening reading cycling".split()
)

SHOPS = "Bakery Library Museum Garden Hotel Harbour Theatre Workshop Studio Clinic Market Station".split()

ITEMS = """
apple pear plum lemon grape melon peach cherry carrot onion potato bean nut cup plate fork knife spoon bowl lamp
chair table shelf clock mirror brush towel soap pen pencil paper book box bag key coin stamp rope nail hammer
""".split()

TOPICS = """
volcanoes football taxes planets dinosaurs jazz oceans bridges coffee tea chocolate history chemistry biology
physics geography politics elections banks money stocks law medicine vitamins sleep dreams love war peace art
museums films actors novels poetry grammar Latin Spanish cooking recipes bread wine beer cars trains planes ships
rockets moon stars galaxies atoms electrons magnets batteries engines robots phones laptops printers cameras
radios maps rivers mountains deserts forests trees flowers bees ants whales sharks wolves bears lions horses
dogs cats birds eggs fish soup pizza pasta rice salt sugar shoes hats jackets houses roofs windows doors gardens
tomatoes weather storms snow rain winter summer holidays Paris London Napoleon Caesar Shakespeare Mozart Einstein
Darwin Egypt Rome China Brazil France Norway castles kings queens pirates dragons magic chess poker guitars pianos
violins drums songs dancing running swimming cycling yoga marriage children schools homework exams teeth bones
""".split()

#: Never used in training: off-subject questions about these test whether the model declines what it never saw.
UNSEEN_TOPICS = """
glaciers basketball pensions comets mammoths opera lakes tunnels lemonade honey algebra geology diplomacy
mortgages surgery protein nightmares sculpture theatre ballet verbs Italian German bakeries cider trucks trams
submarines satellites neutrons lasers turbines drones tablets scanners compasses valleys jungles meadows
mushrooms butterflies spiders dolphins tigers foxes camels penguins cheese noodles pepper sandals scarves
chimneys ladders cucumbers thunder hail autumn Madrid Cleopatra Beethoven Newton Greece Japan Peru emperors
wizards unicorns puzzles trumpets harps rowing skiing divorce grandparents universities
""".split()

_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pl qu r s sh sk st t tr v w z".split()
_VOWELS = "a e i o u ai ea io oo".split()
_CODAS = ["", "", "", "l", "m", "n", "r", "s", "t", "x"]


def made_up_word(rng: Random) -> str:
    """A pronounceable word of two syllables that is in no list, such as "trozel"."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(2))


def proper_name(rng: Random, known: list[str], made_up: float = 0.3) -> str:
    """One of `known`, or with probability `made_up` a capitalised made-up word, so that names are copied, not recalled."""
    return made_up_word(rng).capitalize() if rng.random() < made_up else rng.choice(known)
