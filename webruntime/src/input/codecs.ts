/** Codecs of tracks, in words. */

import type { InputAudioTrack, InputVideoTrack } from "mediabunny";

/**
 * The codec of a track that the browser does not decode, and what else to choose: of `others`, by codec, those that do
 * not have the codec that has just failed.
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

/** Bits of a sample, by WebCodecs' name of a codec; 8 where the name does not say. */
export function bitsOf(codec = ""): number {
  const [, bits] = /^(?:av01\.\d+\.\w+|vp09\.\d+\.\d+)\.(\d+)/.exec(codec) ?? [];
  return Number(bits ?? 8);
}
