/** Calls media-worker.ts from the page, and makes recordings with the browser. */

import { base64Of, bytesOf } from "./site.ts";

/** The arguments beside the file. */
export type Arguments = { name?: string } & Record<string, never>;

export interface Asked {
  name: string;
  given: Arguments;
  file: File;
}

export type Answer = { value: unknown } | { error: string; message: string };

/** Return the result of a worker's function for a file with this content, or its error. */
export async function call([name, given, content]: [string, Arguments, string]): Promise<Answer> {
  const worker = new Worker("/media-test-worker.js");
  const file = new File([bytesOf(content)], given.name ?? "file");
  const answer = await new Promise<Answer>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage({ name, given, file } satisfies Asked);
  });
  worker.terminate();
  return answer;
}

/** Record a tone. Returns base64. Without an audio device Firefox records no tone, so it records a microphone. */
export async function recordTone(): Promise<string> {
  const isFirefox = navigator.userAgent.includes("Firefox");
  const microphone = isFirefox ? await navigator.mediaDevices.getUserMedia({ audio: true }) : undefined;
  const context = new AudioContext();
  const tone = new OscillatorNode(context, { frequency: 440 });
  const target = new MediaStreamAudioDestinationNode(context);
  tone.connect(target);
  tone.start();
  const recorder = new MediaRecorder(microphone ?? target.stream);
  return recorded(recorder, async () => {
    recorder.start();
    await new Promise((resolve) => setTimeout(resolve, 1500));
  });
}

/**
 * Record a video as a camera's recorder writes it: in pieces, without its length, at a varying rate. Returns base64.
 */
export async function recordVideo(): Promise<string> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [160, 120];
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("A canvas has no context.");
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: "video/webm;codecs=vp8" });
  return recorded(recorder, async () => {
    recorder.start(200);
    for (let step = 0; step < 20; step++) {
      pen.fillStyle = `hsl(${step * 18} 80% 50%)`;
      pen.fillRect(0, 0, 160, 120);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  });
}

async function recorded(recorder: MediaRecorder, play: () => Promise<void>): Promise<string> {
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((resolve) => {
    recorder.onstop = resolve;
  });
  await play();
  recorder.stop();
  await stopped;
  return base64Of(new Uint8Array(await new Blob(parts).arrayBuffer()));
}
