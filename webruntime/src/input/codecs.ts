/** Describes the codecs of tracks. */

import type { InputAudioTrack, InputVideoTrack } from "mediabunny";

/**
 * Return the codec of a track that the browser does not decode, and advice on what to save it as: those of `others`, by
 * codec, that do not use this codec.
 */
export async function notDecoded(track: InputAudioTrack | InputVideoTrack, others: Record<string, string>) {
  const family = await track.getCodec();
  const exact = family === null ? undefined : (await track.getDecoderConfig())?.codec;
  const codec = family ?? String((await track.getInternalCodecId()) ?? "unknown");
  const advice = Object.entries(others).flatMap(([each, name]) => (each === family ? [] : [name]));
  return {
    codec: exact === undefined || exact === codec ? codec : `${codec} (${exact})`,
    advice: new Intl.ListFormat("en", { type: "disjunction" }).format(advice),
  };
}

/** Return the bits of a sample by WebCodecs' name of a codec, or 8 where the name does not state them. */
export function bitsOf(codec = ""): number {
  const [, bits] = /^(?:av01\.\d+\.\w+|vp09\.\d+\.\d+)\.(\d+)/.exec(codec) ?? [];
  return Number(bits ?? 8);
}
