"""The words of which the synthetic films are made; how they are put together is films."""

#: Genre and its description; the first are the most frequent.
GENRES = (
    ("Drama", "People, and what they do to each other."),
    ("Comedy", "Made to be laughed at, and sometimes succeeds."),
    ("Thriller", "Something is about to happen."),
    ("Romance", "Two people, one obstacle."),
    ("Action", "Fewer words, more running."),
    ("Crime", "Somebody broke the law and somebody noticed."),
    ("Adventure", "Far from home, with a map that is wrong."),
    ("Mystery", "A question asked at the beginning, answered at the end."),
    ("Science Fiction", "What if, taken seriously."),
    ("Fantasy", "What if, taken lightly."),
    ("Horror", "Best seen with the lights on."),
    ("Family", "For everyone on the sofa."),
    ("Animation", "Drawn, modelled or computed."),
    ("Documentary", "As it was, more or less."),
    ("History", "As it may have been."),
    ("Biography", "One life in two hours."),
    ("War", "The cost of it."),
    ("Music", "Played, sung or fought over."),
    ("Musical", "They burst into song."),
    ("Sport", "The last minute decides."),
    ("Western", "Dust, horses and a stranger."),
    ("Noir", "Rain, shadows and bad decisions."),
    ("Short", "Over before the tea is cold."),
    ("Nature", "No people in sight."),
)

ADJECTIVES = (
    *("Silent", "Golden", "Distant", "Hidden", "Crimson", "Broken", "Gentle", "Frozen", "Bitter"),
    *("Wandering", "Secret", "Northern", "Second", "Velvet", "Hollow", "Restless", "Paper", "Iron"),
    *("Emerald", "Forgotten", "Patient", "Burning", "Quiet", "Last", "Electric", "Borrowed"),
    *("Midnight", "Crooked", "Endless", "Honest", "Invisible", "Little", "Lonely", "Lucky", "Pale"),
    *("Perfect", "Reluctant", "Scarlet", "Shining", "Sleeping", "Stolen", "Summer", "Tender"),
    *("Unlikely", "Unwritten", "Wild", "Winter", "Ordinary", "Impossible", "Brave", "Blue"),
)

NOUNS = (
    *("Harbour", "Garden", "Lighthouse", "Orchard", "River", "Station", "Compass", "Mirror"),
    *("Letter", "Island", "Bridge", "Violin", "Lantern", "Clockmaker", "Kingdom", "Promise"),
    *("Storm", "Meadow", "Shadow", "Voyage", "Detective", "Painter", "Cartographer", "Astronomer"),
    *("Piano", "Train", "Window", "Forest", "Desert", "Ocean", "Star", "Comet", "Horizon"),
    *("Thief", "Queen", "Pilot", "Gardener", "Sailor", "Librarian", "Stranger", "Neighbour"),
    *("Game", "Dance", "Song", "Silence", "Riddle", "Parade", "Afternoon", "Morning", "Night"),
    *("Road", "House", "Hotel", "Theatre", "Circus", "Museum", "Bakery", "Archive", "Tower"),
    *("Fox", "Swan", "Wolf", "Sparrow", "Whale", "Horse", "Tiger", "Elephant", "Nightingale"),
)

PLACES = (
    *("Lisbon", "Trieste", "Tbilisi", "Samarkand", "Valparaíso", "Reykjavík", "Tromsø", "Kraków"),
    *("Havana", "Marrakesh", "Kyoto", "Zanzibar", "Odense", "Ghent", "Riga", "Vilnius", "Yerevan"),
    *("Zürich", "São Tomé", "Malmö", "Łódź", "Porto", "Granada", "Naples", "Corfu", "Bergen"),
    *("Almaty", "Vladivostok", "Hobart", "Montréal", "Oaxaca", "Cusco", "Galway", "Inverness"),
)

NAMES = (
    *("Clara", "Anton", "Vera", "Hugo", "Nadia", "Oscar", "Irina", "Felix", "Marta", "Boris"),
    *("Elena", "Julian", "Sofia", "Viktor", "Alma", "Leo", "Zoë", "André", "Olga", "Emil"),
    *("Lucía", "Jonas", "Greta", "Timur", "Ada", "Ivan", "Nora", "Max", "Rosa", "Daniel"),
)

#: {A} adjective, {N} and {M} nouns, {P} place, {W} a person's name; {a}, {n}, {m} the same words
#: in small letters. No pattern puts "a" before one of them, since it would have to know "an".
TITLES = (
    "The {A} {N}",
    "{A} {N}",
    "The {N} of {P}",
    "The {A} {N} of {P}",
    "{W} and the {N}",
    "{W} and the {A} {N}",
    "{W}, the {N} and the {M}",
    "{W}'s {A} {N}",
    "The {N} and the {M}",
    "The {N} That Left {P}",
    "No {N} in {P}",
    "Before the {A} {N}",
    "Return to the {A} {N}",
    "{P}, My {A} {N}",
    "Goodbye, {W}: The {N} of {P}",
)

DESCRIPTIONS = (
    "In {P}, {W} finds the {n} that nobody else remembers.",
    "{W} inherits the {a} {n} and, with it, an old quarrel in {P}.",
    "One {n}, one {m}, and a single night in {P} to choose between them.",
    "Years after leaving {P}, {W} is asked to come back for the {n}.",
    'They called it "the {a} {n}"; {W} only wanted to go home.',
    "The story of one {a} {n}, one {m} and the road to {P}.",
    "{W} has three days, no money and the wrong {n}.\nThen the telephone rings in {P}.",
    "Everyone in {P} knows the {n}; only {W} knows what it costs.",
)
