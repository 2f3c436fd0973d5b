/** Records audio: a button, a level meter, and an end after the longest audio that the model takes at once. */

import { make } from "./dom.ts";
import { whyNot } from "./permission.ts";

/** The maximum seconds that the model hears at once. */
export const MAX_SECONDS = 30;

const TICK_MS = 100;

interface Running {
  recorder: MediaRecorder;
  stream: MediaStream;
  context: AudioContext;
  timer: ReturnType<typeof setInterval>;
}

/** The recorder's button and its panel. */
export class Recorder {
  readonly button = make("button", { part: "record", type: "button", hidden: true }, "Record");
  readonly #level = make("meter", { part: "level", max: 1, value: 0, ariaLabel: "Microphone level" });
  readonly #time = make("span", { part: "time" });
  /** Shown during a recording. */
  readonly panel = make("div", { part: "recording", hidden: true }, this.#level, this.#time);
  readonly #actions: { recorded(audio: File): void; reject(reason: string): void };
  #running: Running | undefined;
  #starting = false;
  /** Resolves when the current recording is handed over: whether it has any audio. */
  #handedOver: Promise<boolean> = Promise.resolve(true);

  constructor(actions: { recorded(audio: File): void; reject(reason: string): void }) {
    this.#actions = actions;
    this.button.addEventListener("click", () => {
      if (this.#running) void this.stop();
      else void this.#start();
    });
  }

  /** End a running recording. Resolves when it is handed over, with false where it has no audio. */
  stop(): Promise<boolean> {
    if (this.#running?.recorder.state === "recording") this.#running.recorder.stop();
    return this.#running ? this.#handedOver : Promise.resolve(true);
  }

  async #start(): Promise<void> {
    if (this.#starting) return;
    this.#starting = true;
    try {
      const stream = await askForMicrophone();
      this.#record(stream);
    } catch (error) {
      this.#actions.reject(whyNot(error, "microphone"));
    } finally {
      this.#starting = false;
    }
  }

  #record(stream: MediaStream): void {
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(stream).connect(analyser);
    const recorder = new MediaRecorder(stream);
    const chunks: Blob[] = [];
    recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
    // Firefox states the type only with the bytes.
    this.#handedOver = new Promise((resolve) => {
      recorder.addEventListener("stop", () => {
        resolve(this.#ended(chunks, recorder.mimeType || (chunks[0]?.type ?? "")));
      });
    });
    const started = performance.now();
    const timer = setInterval(() => {
      const seconds = (performance.now() - started) / 1000;
      this.#level.value = loudness(analyser);
      this.#time.textContent = `${Math.floor(seconds)} of ${MAX_SECONDS} s`;
      if (seconds >= MAX_SECONDS) void this.stop();
    }, TICK_MS);
    this.#running = { recorder, stream, context, timer };
    this.button.textContent = "Stop recording";
    this.panel.hidden = false;
    recorder.start();
  }

  /** Hand the recording over. Returns whether it has any audio. */
  #ended(chunks: Blob[], type: string): boolean {
    const running = this.#running;
    this.#running = undefined;
    this.button.textContent = "Record";
    this.panel.hidden = true;
    if (!running) return false;
    clearInterval(running.timer);
    for (const track of running.stream.getTracks()) track.stop();
    void running.context.close();
    const audio = new File(chunks, "Recording", { type });
    if (audio.size > 0) this.#actions.recorded(audio);
    else this.#actions.reject("Nothing was recorded. Try again, and speak a little longer.");
    return audio.size > 0;
  }
}

function askForMicrophone(): Promise<MediaStream> {
  // Processing for calls, such as levelling, would change the model's input.
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return navigator.mediaDevices.getUserMedia({ audio: plain });
}

/** Return the root mean square of the last samples, scaled so that speech moves the meter. */
function loudness(analyser: AnalyserNode): number {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.min(1, Math.sqrt(power) * 4);
}
