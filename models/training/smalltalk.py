"""Turns that need no context: greetings, facts, and subjects the model declines."""

from random import Random

from .conversation import Turn, spoken
from .facts import FACTS, Fact
from .words import TOPICS, made_up_word

DECLINE = "I am a tiny model for trying gemtab"
"""Every answer to a subject the model does not know begins with this."""

_GREETINGS: tuple[tuple[str, str], ...] = (
    ("hi|hello|hey|hi there|hello there|hey there|hello again|hello you|hi again|greetings|howdy|hiya|hello hello",
     "Hello! I am Tiny. Ask me about gemtab, or tell me your name."),
    ("good morning|morning|a good morning|good morning to you", "Good morning! What would you like to try?"),
    ("good evening|evening|a good evening|good evening to you", "Good evening! What would you like to try?"),
    ("good afternoon|a good afternoon|good afternoon to you", "Good afternoon! What would you like to try?"),
    ("how are you|how are you doing|how is it going|how do you do|are you well|how are things|what's up|are you ok",
     "I am well, thank you. How can I help?"),
    ("thanks|thank you|thank you very much|thanks a lot|many thanks|thank you so much|cheers|that helped|great, thanks",
     "You are welcome!"),
    ("bye|goodbye|see you|good night|bye bye|see you later|until tomorrow|I have to go|see you soon|farewell",
     "Goodbye! Come back any time."),
    ("ok|okay|good|great|nice|cool|fine|I see|all right|wonderful|perfect|well done|good job|awesome",
     "Good. What would you like to try next?"),
    ("this is a test|test|testing|just testing|are you there|can you hear me|are you working|does this work|ping",
     "I am here, and I am working."),
    ("sorry|I am sorry|my mistake|oops|pardon|excuse me", "No problem at all."),
    ("you are wrong|that is wrong|no|that is not right|wrong|that is false|not good",
     "I am sorry. I am small, and I make mistakes."),
)  # fmt: skip

_CALLED = ("", "", "", "", "", " Tiny", ", Tiny", " model", " friend", " my friend", ", little model", " computer")

_OFF_SUBJECT: tuple[tuple[str, str], ...] = (
    ("write a poem about {}|write a story about {}|write an essay about {}|write me a song about {}|"
     "tell me a story about {}|tell me a joke about {}|make up a tale about {}|write a letter about {}",
     f"{DECLINE}, so I cannot write that. Ask me about gemtab instead."),
    ("what is the capital of {}|who invented {}|what are {}|what is {}|who discovered {}|where do {} come from|"
     "when did {} begin|why are there {}|who was the first to see {}|how many {} are there|what do {} cost|"
     "explain {}|tell me about {}|describe {}|what do you know about {}|how do {} work|why do people like {}|"
     "who is the best at {}|give me facts about {}|what is the history of {}|do you know {}|do you like {}|"
     "what do you think about {}|is it true that {} are old|how do I learn {}|which {} are the best|"
     "who won at {} last year|what is new in {}|are {} good for me|can you teach me {}|where can I buy {}|"
     "compare {} with {}|what is the difference between {} and {}|I want to know more about {}|"
     "I need help with {}|let us talk about {}|let's talk about {}|help me with {}|talk about {}|{}|{} and {}",
     f"{DECLINE}, and I know nothing about that. Ask me about gemtab instead."),
    ("translate {} into French|translate {} into German|how do you say {} in Spanish|what is {} in Italian|"
     "what does {} mean|spell {} backwards in Latin",
     f"{DECLINE}, and I cannot translate. Ask me about gemtab instead."),
    ("write a program about {}|write code for {}|write a function that sorts {}|write a python script for {}|"
     "fix my code about {}|write some css for {}",
     f"{DECLINE}, so I cannot write programs. Ask me about gemtab instead."),
    ("what is the news about {}|what day is it|what time is it|what is the date today|what is the weather like|"
     "is it raining|how is the weather today|what is the news|who is the president|what year is it",
     f"{DECLINE}, and without a tool I cannot know that."),
)  # fmt: skip


def greeting(rng: Random) -> Turn:
    """A hello, a thank-you, a good-bye and the like."""
    ways, answer = rng.choice(_GREETINGS)
    text = rng.choice(ways.split("|")) + rng.choice(_CALLED) + rng.choice(("", "", ".", "!", "!", "?", "!!", " :)"))
    if rng.random() < 0.65:
        text = text[0].upper() + text[1:]
    return Turn(text, answer, "A greeting. I answer kindly.")


def fact(rng: Random, plain: bool = False) -> Turn:
    """A question about gemtab or the model. `plain`: only one whose answer is one paragraph."""
    chosen: Fact = rng.choice([one for one in FACTS if one.plain] if plain else FACTS)
    about = "gemtab" if chosen.subject == "gemtab" else "me"
    return Turn(spoken(rng, rng.choice(chosen.questions)), chosen.answer, f"A question about {about}. I know this.")


def _topic(rng: Random, topics: list[str]) -> str:
    if rng.random() < 0.12:
        return " ".join(made_up_word(rng) for _ in range(rng.choice((1, 1, 2, 3))))
    return rng.choice(topics)


def off_subject(rng: Random, topics: list[str] = TOPICS) -> Turn:
    """Something the model does not know about."""
    ways, answer = _OFF_SUBJECT[rng.choice((0, 1, 1, 1, 1, 2, 3, 4))]
    way = rng.choice(ways.split("|"))
    text = way.format(_topic(rng, topics), _topic(rng, topics))
    return Turn(spoken(rng, text), answer, "This is not a subject of mine. I say so.")
