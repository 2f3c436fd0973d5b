/** Takes photos with the camera. */

import { make } from "./dom.ts";
import { whyNot } from "./permission.ts";

/** The camera's button and its panel, which takes photos. */
export class Camera {
  readonly button = make("button", { part: "camera", type: "button", hidden: true }, "Camera");
  readonly #view = make("video", { part: "viewfinder", muted: true, playsInline: true, ariaLabel: "Camera" });
  readonly #take = make("button", { part: "take", type: "button" }, "Take the photo");
  readonly #close = make("button", { part: "close", type: "button" }, "Close the camera");
  /** Shown while the camera is on. */
  readonly panel = make("div", { part: "camera-panel", hidden: true }, this.#view, this.#take, this.#close);
  readonly #actions: { taken(image: File): void; reject(reason: string): void };
  #stream: MediaStream | undefined;

  constructor(actions: { taken(image: File): void; reject(reason: string): void }) {
    this.#actions = actions;
    this.button.addEventListener("click", () => void this.#open());
    this.#take.addEventListener("click", () => void this.#shoot());
    this.#close.addEventListener("click", () => {
      this.stop();
      this.button.focus();
    });
  }

  /** Switch the camera off. */
  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#view.srcObject = null;
    this.panel.hidden = true;
  }

  async #open(): Promise<void> {
    if (this.#stream) return;
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      this.#view.srcObject = this.#stream;
      this.panel.hidden = false;
      await this.#view.play();
      this.#take.focus();
    } catch (error) {
      this.stop();
      this.#actions.reject(whyNot(error, "camera"));
    }
  }

  async #shoot(): Promise<void> {
    const canvas = new OffscreenCanvas(this.#view.videoWidth, this.#view.videoHeight);
    canvas.getContext("2d")?.drawImage(this.#view, 0, 0);
    const image = await canvas.convertToBlob({ type: "image/png" });
    this.stop();
    this.#actions.taken(new File([image], "Photo", { type: image.type }));
  }
}
