/** Audio files with wrong headers, tags, and missing ends. Chromium's tests decode real recordings. */

import { describe, expect, it } from "vitest";
import { MediaError } from "../../src/errors.ts";
import { audioFileParts } from "../../src/input/audio/file.ts";
import { flacEnd } from "../../src/input/audio/flac.ts";
import { cleanMatroska } from "../../src/input/audio/matroska.ts";
import { readMp3Table, withoutFilling } from "../../src/input/audio/mp3.ts";
import { oggLinks } from "../../src/input/audio/ogg.ts";

type Part = string | readonly number[] | Uint8Array<ArrayBuffer>;

function bytes(...parts: Part[]): Uint8Array<ArrayBuffer> {
  const lists = parts.map((part) =>
    typeof part === "string" ? [...part].map((each) => each.charCodeAt(0)) : [...part],
  );
  return Uint8Array.from(lists.flat());
}

const little = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);
const short = (value: number) => [value & 255, value >> 8];
const zeros = (count: number) => new Uint8Array(count);
const content = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());
const parts = (...file: Part[]) => audioFileParts(new Blob([bytes(...file)]), "audio.bin");

async function only(...file: Part[]) {
  const [part, ...others] = await parts(...file);
  if (!part || others.length > 0) throw new Error("not one part");
  return { ...part, content: await content(part.blob) };
}

describe("a WAVE file", () => {
  const data = Uint8Array.from({ length: 20 }, (_, at) => at);
  const format = (tag = 1, bits = 16) =>
    bytes(short(tag), short(1), little(16_000), little(32_000), short(2), short(bits));
  const chunk = (name: string, body: Uint8Array<ArrayBuffer>, size = body.length) => bytes(name, little(size), body);
  const clean = bytes("RIFF", little(56), "WAVE", chunk("fmt ", format()), chunk("data", data));

  it.each([20, 0, 0xffffffff, 0x7fffffff, 0x7ffff000, 0x80000000])("of %i bytes is read to its end", async (size) => {
    for (const whole of [size, 56, 0]) {
      const file = await only("RIFF", little(whole), "WAVE", chunk("fmt ", format()), chunk("data", data, size));
      expect(file.content).toEqual(clean);
      expect(file.kind).toBe("WAVE");
    }
  });

  it("may have chunks and bytes around its data, odd ones without what fills them up, and tags", async () => {
    const [odd, list] = [chunk("odd!", bytes([1, 2, 3])), chunk("LIST", zeros(6))];
    const head = bytes("RIFF", little(999), "WAVE");
    for (const file of [
      [head, odd, chunk("fmt ", format()), odd, chunk("data", data), list],
      [head, odd, [0], chunk("fmt ", format()), list, chunk("data", data), list, [1, 2, 3]],
      ["ID3\x04\0\0\0\0\0\x03abc", head, chunk("fmt ", format()), chunk("data", data)],
    ]) {
      expect((await only(...file)).content).toEqual(clean);
    }
  });

  it("keeps whole samples alone", async () => {
    const file = await only("RIFF", little(0), "WAVE", chunk("fmt ", format()), chunk("data", bytes(data, [9]), 0));
    expect(file.content).toEqual(clean);
  });

  it("may be long, with the length in a chunk of its own", async () => {
    const long = chunk("ds64", bytes(zeros(8), little(20), little(0), zeros(12)));
    const body = bytes("WAVE", long, chunk("fmt ", format()), chunk("data", data, 0xffffffff), chunk("LIST", zeros(4)));
    for (const kind of ["RF64", "BW64"]) {
      expect((await only(kind, little(0xffffffff), body)).content).toEqual(clean);
    }
  });

  it("may say in an extension what its samples are", async () => {
    const extended = bytes(format(0xfffe), short(22), short(16), little(1), short(1), zeros(14));
    expect((await only("RIFF", little(0), "WAVE", chunk("fmt ", extended), chunk("data", data))).content).toEqual(
      clean,
    );
  });

  it.each([
    [17, 4, "IMA ADPCM"],
    [2, 4, "Microsoft ADPCM"],
    [85, 0, "MP3"],
    [1, 64, "samples of 64 bits"],
    [4711, 16, "format 4711"],
  ])("of format %i is rejected with its name", async (tag, bits, named) => {
    const file = parts("RIFF", little(0), "WAVE", chunk("fmt ", format(tag, bits)), chunk("data", data));
    await expect(file).rejects.toThrow(`audio.bin is a WAV file with ${named} in it`);
  });
});

describe("an Ogg file", () => {
  it("is as long as its whole pages, marked or not, and a new recording begins where a stream does", () => {
    const [first, second] = [bytes(page(2, "OpusHead"), page(0, "one"), page(0, "two")), bytes(page(2, "\x01vorbis"))];
    const file = bytes(first, "junk", second, page(0, "more"), page(4, "missing").slice(0, -1));
    const links = oggLinks(file);
    expect(links.map(({ blob, kind }) => [blob.size, kind])).toEqual([
      [first.length, "OGG"],
      [second.length + page(0, "more").length, "OGG"],
    ]);
  });

  it("leaves out damaged pages", () => {
    const damaged = page(0, "one");
    damaged[30] = 0;
    expect(oggLinks(bytes(page(2, "OpusHead"), damaged))[0]?.blob.size).toBe(page(2, "OpusHead").length);
  });

  it("with FLAC in it becomes FLAC", async () => {
    const packet = bytes([255, 248], zeros(300));
    const file = bytes(
      page(2, `\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22${"s".repeat(34)}`),
      page(0, "\x84tags"),
      page(0, packet),
    );
    const [link] = oggLinks(file);
    expect(link?.kind).toBe("FLAC");
    expect(await content(link?.blob ?? new Blob())).toEqual(bytes("fLaC\x80\0\0\x22", "s".repeat(34), packet));
  });

  it("in a codec that is not read is rejected with its name", async () => {
    await expect(parts(page(2, "Speex   1.2"), page(4, "x"))).rejects.toThrow("has audio in Speex");
  });
});

describe("an MP3", () => {
  /** Frames of 104 bytes: MPEG-2, 16 kHz, 24 kbit/s. */
  const frame = (fill: Part = []) => bytes([255, 243, 0x38, 0xc0], fill, zeros(104 - bytes(fill).length));
  const frames = bytes(frame("a"), frame("b"), frame("c"));

  it.each([
    ["alone", [frames]],
    ["between tags", ["ID3\x04\0\0\0\0\0\x03abc", frames, "TAG", zeros(125)]],
    ["behind zeros", [zeros(500), frames]],
    ["with text behind", [frames, "and so on"]],
  ])("%s is its frames", async (_, file) => {
    const found = await only(...file);
    expect([found.kind, found.content]).toEqual(["MP3", frames]);
  });

  it("may have bytes between its frames", async () => {
    expect((await only(frames, "\xff\xf0junk", frames)).content).toEqual(bytes(frames, frames));
  });

  it("that is cut in a frame is completed", async () => {
    expect((await only(frames.subarray(0, -5))).content).toEqual(bytes(frames.subarray(0, -5), zeros(5)));
  });

  it("has no table in its audio", async () => {
    const [xing, fraunhofer] = [frame(bytes(zeros(9), "Xing")), frame(bytes(zeros(32), "VBRI"))];
    expect((await only(fraunhofer, frames)).content).toEqual(frames);
    expect((await only(xing, frames, xing, frames)).content).toEqual(bytes(xing, frames, frames));
  });

  it("may have fewer samples than its table counts, or more", async () => {
    const samples = Float32Array.from({ length: 4000 }, (_, at) => at);
    const table = { delay: 1000, filling: { start: 2000, end: 3000 } };
    expect(withoutFilling(samples.subarray(0, 1500), table)).toEqual(samples.subarray(1000, 1500));
    expect(withoutFilling(samples.subarray(0, 2500), table)).toEqual(samples.subarray(1000, 2000));
    expect(withoutFilling(samples, table)).toEqual(
      Float32Array.of(...samples.slice(1000, 2000), ...samples.slice(3000)),
    );
    expect(await readMp3Table(new Blob(["ID3"]))).toBeUndefined();
  });

  it("is not found in other files", async () => {
    const box = bytes([0, 0, 0, 8], "ftyp", zeros(8));
    expect((await only(box, frames, frames)).kind).toBe("OTHER");
    expect((await only("This is a letter.")).kind).toBe("OTHER");
    expect((await only("letters", frames, frames)).kind).toBe("MP3");
  });
});

it("a FLAC file ends where its last whole frame does", async () => {
  // 192 samples of silence at 16 kHz: the shortest frames that encoders write.
  const frames = [0, 1].map((number) => flacFrame(number));
  const file = bytes("fLaC", zeros(38), ...frames);
  for (const ending of ["", "TAG", "and so on ".repeat(30)]) {
    expect(await flacEnd(new Blob([file, ending]))).toBe(file.length);
  }
  expect(await flacEnd(new Blob([file.subarray(0, -1)]))).toBe(file.length - 11);
  expect(await flacEnd(new Blob(["fLaC", zeros(50)]))).toBe(54);
  const { content: clean } = await only(file);
  expect(clean).toEqual(bytes(file, zeros(6)));
});

it("a FLAC file is read without its tags", async () => {
  const [properties, frame] = [zeros(34), flacFrame(0)];
  const clean = bytes("fLaC", [0x80, 0, 0, 34], properties, frame, zeros(6));
  for (const tags of [bytes([0x84, 0, 0, 3], "???"), bytes([6, 0, 0, 0], [0x81, 0, 1, 0], zeros(256))]) {
    expect((await only("fLaC", [0, 0, 0, 34], properties, tags, frame)).content).toEqual(clean);
  }
  const broken = bytes("fLaC", [0, 0, 0, 34], properties, [0x84, 0, 0, 2], "???", frame);
  expect((await only(broken)).content).toEqual(bytes(broken, zeros(6)));
});

describe("a WebM file", () => {
  const element = (id: number[], body: Part, length = bytes(body).length) => bytes(id, [0x80 | length], body);
  const head = bytes(element([0x1a, 0x45, 0xdf, 0xa3], "head"), [0x18, 0x53, 0x80, 0x67, 0xff]);
  const audio = element(
    [0xae],
    bytes(element([0xd7], [2]), element([0x83], [2]), element([0x56, 0xaa], [0xc6, 0x5d, 0x40])),
  );
  const tracks = element([0x16, 0x54, 0xae, 0x6b], bytes(element([0xae], element([0x83], [1])), audio));
  const block = element([0xa3], "\x82block");
  const image = element([0xa3], "\x81image");
  const filled = element([0xa0], bytes(element([0xa1], "\x82block"), element([0x75, 0xa2], [0x0f, 0x42, 0x40])));
  const cluster = (body: Part, length?: number) => element([0x1f, 0x43, 0xb6, 0x75], body, length);

  it("states its delay and its padding", async () => {
    for (const size of [undefined, 0x7f]) {
      const file = new Blob([head, tracks, cluster(block), cluster(bytes(block, filled, image), size)]);
      const found = await cleanMatroska(file);
      expect([found.delay, found.filling]).toEqual([0.013, 0.001]);
    }
  });

  it("is read up to its last whole block", async () => {
    const file = new Blob([head, tracks, cluster(bytes(block, block, [0xa3, 0x86, 1, 2]), 0x30)]);
    const { blob, filling } = await cleanMatroska(file);
    const expected = bytes(head, tracks, [0x1f, 0x43, 0xb6, 0x75, 1, 0, 0, 0, 0, 0, 0, 16], block, block);
    expect(await content(blob)).toEqual(expected);
    expect(filling).toBe(0);
  });
});

it.each([
  ["FORM....AIFF", "an AIFF file"],
  ["FORM....AIFC", "an AIFF file"],
  [".snd", "an AU file"],
  ["caff", "a CAF file"],
  ["#!AMR\n", "an AMR file"],
  ["\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA or another Windows Media file"],
  ["RIFX....WAVE", "a big-endian WAV file"],
  ["RIFF....AVI ", "an AVI file"],
  ["wvpk", "a WavPack file"],
])("%j is rejected with its name", async (start, named) => {
  const refused = parts(start, zeros(300));
  await expect(refused).rejects.toThrow(MediaError);
  await expect(refused).rejects.toThrow(`audio.bin is ${named}, which is not supported. Convert it to WAV, MP3`);
});

/** A page of an Ogg file with one packet. */
function page(flags: number, packet: Part): Uint8Array<ArrayBuffer> {
  const body = bytes(packet);
  const lengths = [...Array(Math.floor(body.length / 255)).fill(255), body.length % 255];
  const head = (sum: number) => bytes("OggS", [0, flags], zeros(12), little(sum), [lengths.length], lengths);
  const blank = bytes("OggS", [0, flags], zeros(16), [0, 0, 0, 0], [lengths.length], lengths, body);
  return bytes(head(0).subarray(0, 6), zeros(16), little(crc(blank, 0x04c11db7, 32)), [lengths.length], lengths, body);
}

/** A frame of FLAC with one silent channel. */
function flacFrame(number: number): Uint8Array<ArrayBuffer> {
  const head = bytes([255, 0xf8, 0x15, 8, number]);
  const frame = bytes(head, [crc(head, 0x07, 8)], [0, 0, 0]);
  const sum = crc(frame, 0x8005, 16);
  return bytes(frame, [sum >> 8, sum & 255]);
}

/** A remainder by a polynomial, bit by bit. */
function crc(content: Uint8Array, polynomial: number, width: number): number {
  let check = 0n;
  const [top, mask] = [1n << BigInt(width - 1), (1n << BigInt(width)) - 1n];
  for (const byte of content) {
    check ^= BigInt(byte) << BigInt(width - 8);
    for (let i = 0; i < 8; i++) check = ((check << 1n) ^ (check & top ? BigInt(polynomial) : 0n)) & mask;
  }
  return Number(check);
}
