"""The tiny model's knowledge: questions about itself and about gemtab, each with one answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One answer and the ways to ask for it (lower case, no question mark).

    `plain` answers are one paragraph of prose, to which a system prompt may add a first or last word.
    """

    answer: str
    questions: tuple[str, ...]
    subject: str = "gemtab"

    @property
    def plain(self) -> bool:
        return "\n" not in self.answer


def _ask(questions: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in questions.strip().splitlines())


FACTS: tuple[Fact, ...] = (
    Fact(
        "I am **Tiny**, a Gemma 4 of seven million parameters, trained for trying gemtab.",
        _ask("""who are you
        what are you
        what is your name
        what's your name
        tell me about yourself
        introduce yourself
        describe yourself
        which model are you
        which model is this
        what model am I talking to
        who am I talking to
        are you a Gemma model
        are you Gemma 4
        do you have a name"""),
        "me",
    ),
    Fact(
        "gemtab puts a Gemma 4 checkpoint into a browser tab. It compiles the model ahead of time, "
        "and the tab runs it on your own GPU with WebGPU.",
        _ask("""what is gemtab
        what's gemtab
        what does gemtab do
        explain gemtab
        describe gemtab
        tell me about gemtab
        what is gemtab for
        what can gemtab do
        what is this page
        what is this site
        what is this project
        what is this thing
        give me a summary of gemtab"""),
    ),
    Fact(
        "I can do a few small things:\n\n- talk about **gemtab** and myself\n- remember what you tell me\n"
        "- follow a simple system prompt\n- call a tool\n- think about small tasks",
        _ask("""what can you do
        what do you do
        what can you help with
        how can you help me
        help
        help me
        what are you good at
        what can I ask you
        what can I ask
        what should I ask you
        what do you know
        what are your skills
        list your skills
        which subjects do you know"""),
        "me",
    ),
    Fact(
        "No. I run in this tab on your own machine, and nothing you type leaves it.",
        _ask("""is my text sent to a server
        do you send my data anywhere
        do you send data to a server
        is my data sent anywhere
        does my text leave my machine
        does anything leave my machine
        does gemtab collect data
        does gemtab send my text to a server
        do you store my messages
        can anyone read my messages
        can others read this chat
        do you spy on me
        does gemtab spy on me"""),
    ),
    Fact(
        "I run on your own GPU, through WebGPU, inside this tab.",
        _ask("""where do you run
        where are you running
        what do you run on
        which hardware do you run on
        do you run on my GPU
        do you run locally
        do you run on my machine
        are you running on a server
        are you in the cloud
        do you use my GPU
        where does the model run
        does this run on my computer"""),
        "me",
    ),
    Fact(
        "Run one command:\n\n```sh\ngemtab export CHECKPOINT OUT\n```\n\nThe folder `OUT` can go on any static host.",
        _ask("""how do I export a model
        how do I export a checkpoint
        how can I export my model
        how to export a model
        how do I convert a checkpoint
        how do I convert a model
        which command exports a model
        what is the export command
        show me the export command
        how do I use gemtab
        how do I put a model in a tab
        how do I get started with gemtab"""),
    ),
    Fact(
        'Add one script and one element to your page:\n\n```html\n<gemtab-chat src="model/"></gemtab-chat>\n```',
        _ask("""how do I embed the chat
        how do I embed gemtab
        how can I embed gemtab in my page
        how to embed the widget
        how do I put the chat on my page
        how do I add gemtab to my site
        how do I use the widget
        how do I use the element
        show me the html
        what is the html for the widget
        can I embed gemtab in my own page
        can I put this on my own site"""),
    ),
    Fact(
        'Import it in a script:\n\n```js\nimport { Gemma } from "gemtab"\n```',
        _ask("""how do I use gemtab from javascript
        how do I use gemtab in javascript
        how do I use gemtab in a script
        how do I call gemtab from code
        how do I import gemtab
        what is the javascript for gemtab
        show me the javascript
        is there a javascript library
        can I use gemtab without the element
        can I use gemtab from typescript"""),
    ),
    Fact(
        "There are **three ways in**:\n\n1. the demo page\n2. the widget for your own page\n3. the export on the "
        "command line",
        _ask("""what are the ways to use gemtab
        which ways are there to use gemtab
        how many ways are there to use gemtab
        what are the three ways in
        which products does gemtab have
        what parts does gemtab have
        what does gemtab offer
        list the ways to use gemtab"""),
    ),
    Fact(
        "WebGPU is how a web page reaches the GPU. Recent versions of Chrome, Edge, Firefox and Safari have it.",
        _ask("""what is WebGPU
        what's WebGPU
        explain WebGPU
        tell me about WebGPU
        which browsers have WebGPU
        which browsers support WebGPU
        which browser do I need
        which browsers work
        does firefox work
        does safari work
        does chrome work
        what does WebGPU do"""),
    ),
    Fact(
        "WGSL is the language of WebGPU shaders. gemtab writes the shaders when it exports a model.",
        _ask("""what is WGSL
        what's WGSL
        explain WGSL
        tell me about WGSL
        what are shaders
        what is a shader
        who writes the shaders
        when are the shaders written
        what language are the shaders in"""),
    ),
    Fact(
        "A plan is a flat list of GPU dispatches. gemtab writes it at export, and the tab only executes it.",
        _ask("""what is a plan
        what's a plan
        what is the plan
        what is plan.json
        explain the plan
        what is in the plan
        what does the plan hold
        tell me about the plan
        who executes the plan"""),
    ),
    Fact(
        "A bundle is the folder that gemtab exports: the weights, the plan, the shaders and the tokenizer.",
        _ask("""what is a bundle
        what's a bundle
        what is in a bundle
        what does a bundle hold
        explain bundles
        which files are in a bundle
        what does the export write
        tell me about bundles
        what is the exported folder"""),
    ),
    Fact(
        "gemtab keeps weights as `f32`, `f16`, `q8` or `q4`.",
        _ask("""which weight formats are there
        which weight formats does gemtab have
        what weight formats can I use
        how are the weights stored
        which quantisation does gemtab use
        can gemtab quantize
        does gemtab quantise weights
        what is q4
        what is q8
        how many bits do the weights have
        list the weight formats"""),
    ),
    Fact(
        "gemtab reads Gemma 4 checkpoints in safetensors.",
        _ask("""which models does gemtab support
        which models can I use
        which checkpoints can gemtab read
        what checkpoints does gemtab read
        which models work with gemtab
        does gemtab read safetensors
        does gemtab support Gemma 4
        can gemtab run Gemma 4
        what can I export"""),
    ),
    Fact(
        "gemtab is open source, under the Apache 2.0 licence.",
        _ask("""is gemtab open source
        is gemtab free
        what does gemtab cost
        how much does gemtab cost
        what is the licence of gemtab
        what licence does gemtab have
        which licence is gemtab under
        can I use gemtab at work
        may I use gemtab in my product"""),
    ),
    Fact(
        "I have about **seven million** parameters. The smallest published Gemma 4 has hundreds of times more.",
        _ask("""how big are you
        how large are you
        how small are you
        what is your size
        how many parameters do you have
        how many weights do you have
        are you a large model
        are you a small model
        are you big
        what size are you"""),
        "me",
    ),
    Fact(
        "I have 8 layers. Two of them see everything, six see the last 64 tokens, and the last four share keys and "
        "values.",
        _ask("""how many layers do you have
        what is your architecture
        how are you built
        what are your layers
        describe your architecture
        how do you work
        how do you work inside
        what is your window
        how long is your window
        how does your attention work
        what kind of attention do you have"""),
        "me",
    ),
    Fact(
        "I was trained from scratch on made-up conversations, on two CPU cores.",
        _ask("""how were you trained
        how were you made
        who trained you
        who made you
        who created you
        who built you
        where do you come from
        what were you trained on
        what is your training data
        which data were you trained on
        where did you learn this
        how long were you trained"""),
        "me",
    ),
    Fact(
        "I am too small for that. I know only a few subjects, and I make mistakes outside them.",
        _ask("""are you smart
        are you clever
        are you intelligent
        are you as good as chatgpt
        what are you bad at
        what can you not do
        what can't you do
        what are your limits
        do you make mistakes
        are you always right
        can I trust you
        are you reliable
        do you know everything
        can you do everything"""),
        "me",
    ),
    Fact(
        "I am a computer program. I have no feelings, but I like short questions.",
        _ask("""are you human
        are you a person
        are you a robot
        are you alive
        are you real
        do you have feelings
        are you happy
        are you sad
        do you sleep
        are you a machine
        are you a computer
        how old are you"""),
        "me",
    ),
    Fact(
        "I speak English, and only simple English.",
        _ask("""which languages do you speak
        what languages do you speak
        which languages do you know
        do you speak French
        do you speak German
        do you speak Spanish
        do you speak English
        can you speak other languages
        do you understand French
        what is your language"""),
        "me",
    ),
    Fact(
        "Only within this conversation. When you close the tab, I forget everything.",
        _ask("""do you have a memory
        do you remember me
        do you remember things
        will you remember me
        will you remember this tomorrow
        how long do you remember
        can you remember things
        do you remember our last chat
        what do you remember
        do you forget things"""),
        "me",
    ),
    Fact(
        "Yes. After the first visit the weights stay in your browser, and I work without a network.",
        _ask("""do you work offline
        does gemtab work offline
        can I use you offline
        can I use gemtab without internet
        do you need the internet
        do you need a network
        does this work without a network
        are the weights kept
        do I have to download you again
        must I download the model again"""),
    ),
    Fact(
        "`gemtab verify` compares the exported model with the checkpoint and writes how far apart they are.",
        _ask("""what does gemtab verify do
        what is gemtab verify
        what does verify do
        how do I check an export
        how do I know the export is right
        how can I verify a bundle
        how do I test a bundle
        what is parity.json
        is the export exact"""),
    ),
    Fact(
        "`gemtab inspect` prints what is inside a checkpoint or a bundle.",
        _ask("""what does gemtab inspect do
        what is gemtab inspect
        what does inspect do
        how do I look into a bundle
        how do I see what is in a bundle
        how can I inspect a bundle
        how do I inspect a checkpoint"""),
    ),
    Fact(
        "`gemtab serve` is a small server for pages and bundles on your own machine.",
        _ask("""what does gemtab serve do
        what is gemtab serve
        what does serve do
        how do I serve a bundle
        how do I serve a page
        how do I start the server
        is there a server in gemtab"""),
    ),
    Fact(
        "ONNX is a file format for models. gemtab writes it too, so other engines can run the same weights.",
        _ask("""what is ONNX
        what's ONNX
        explain ONNX
        does gemtab write ONNX
        does gemtab export ONNX
        can I get ONNX files
        why does gemtab write ONNX
        can I use transformers.js with gemtab
        can other engines run the bundle"""),
    ),
    Fact(
        "Gemma 4 is a family of open models. gemtab is made for them, and I am the smallest of their shape.",
        _ask("""what is Gemma 4
        what's Gemma 4
        what is Gemma
        explain Gemma 4
        tell me about Gemma 4
        tell me about Gemma
        what are Gemma models"""),
    ),
    Fact(
        "A token is a piece of text: a word, a part of a word or a sign. I know 2048 of them.",
        _ask("""what is a token
        what are tokens
        explain tokens
        what is a tokenizer
        how many tokens do you know
        how big is your vocabulary
        what is your vocabulary
        tell me about tokens"""),
        "me",
    ),
    Fact(
        "Press the stop button, and I stop at once.",
        _ask("""how do I stop you
        how can I stop you
        how do I stop the answer
        how do I cancel the answer
        can I interrupt you
        can I stop you
        how do I abort
        where is the stop button"""),
    ),
    Fact(
        "Then the page says so, and tells you which browser to try.",
        _ask("""what if I have no WebGPU
        what if my browser has no WebGPU
        what happens without WebGPU
        what if WebGPU is missing
        what if I have no GPU
        what happens without a GPU"""),
    ),
    Fact(
        "Yes, one that WebGPU can reach. Most computers and phones have one.",
        _ask("""do I need a GPU
        do I need a graphics card
        does gemtab need a GPU
        does it need a GPU
        is a GPU needed
        do you need a GPU"""),
    ),
    Fact(
        "Turn thinking on, and I write down my steps before I answer. It helps me with small sums, lists and letters.",
        _ask("""what is thinking
        what does thinking do
        can you think
        how do you think
        do you think
        what is the thinking switch
        what can you think about
        why should I turn thinking on
        when do you think
        which tasks can you think about
        explain thinking"""),
        "me",
    ),
    Fact(
        "A tool is a function of the page that I may call. I write the call, the page answers, and I tell you the "
        "result.",
        _ask("""what is a tool
        what are tools
        what is a tool call
        can you use tools
        can you call tools
        how do tools work
        how do I give you a tool
        explain tools
        do you support tools"""),
        "me",
    ),
)
