/**
 * A decoder that drops alpha, for the codecs whose videos can have it. mediabunny's own decoder merges colour and alpha
 * in workers made from text, which a strict content security policy blocks. Models use only the colour.
 */

import type { CustomVideoDecoder, EncodedPacket, registerDecoder, VideoSample } from "mediabunny";

/** The parts of mediabunny that this decoder uses. mediabunny is imported dynamically. */
interface Mediabunny {
  CustomVideoDecoder: typeof CustomVideoDecoder;
  VideoSample: typeof VideoSample;
  registerDecoder: typeof registerDecoder;
}

/** The maximum number of packets that wait to be decoded. */
const MAX_WAITING = 8;

const registered = new WeakSet<object>();

/** Register this decoder for VP8 and VP9 in mediabunny. */
export function useColourDecoder({ CustomVideoDecoder, VideoSample, registerDecoder }: Mediabunny): void {
  if (registered.has(CustomVideoDecoder)) return;
  registered.add(CustomVideoDecoder);

  class ColourDecoder extends CustomVideoDecoder {
    #decoder: VideoDecoder | undefined;

    static override supports(codec: string): boolean {
      return codec === "vp8" || codec === "vp9";
    }

    init(): void {
      this.#decoder = new VideoDecoder({
        output: (frame) => this.onSample(new VideoSample(frame)),
        error: (error) => this.onError(error),
      });
      this.#decoder.configure(this.config);
    }

    async decode(packet: EncodedPacket): Promise<void> {
      const decoder = this.#decoder as VideoDecoder;
      decoder.decode(packet.toEncodedVideoChunk());
      while (decoder.decodeQueueSize > MAX_WAITING && decoder.state !== "closed") {
        await new Promise((resolve) => decoder.addEventListener("dequeue", resolve, { once: true }));
      }
    }

    async flush(): Promise<void> {
      await this.#decoder?.flush();
    }

    close(): void {
      if (this.#decoder?.state !== "closed") this.#decoder?.close();
    }
  }

  registerDecoder(ColourDecoder);
}
