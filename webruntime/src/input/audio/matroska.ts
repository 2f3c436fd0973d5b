/** Reads WebM and Matroska files: the padding of the last packet, and an incomplete last cluster. */

import { read } from "./bytes.ts";

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const CLUSTER = 0x1f43b675;
const SIMPLE_BLOCK = 0xa3;
const BLOCK_GROUP = 0xa0;
const BLOCK = 0xa1;
const DISCARD_PADDING = 0x75a2;
const TRACKS = 0x1654ae6b;
const TRACK = 0xae;
const TRACK_NUMBER = 0xd7;
const TRACK_TYPE = 0x83;
const CODEC_DELAY = 0x56aa;

/** The type of audio tracks. */
const AUDIO = 2;

/** The elements of a segment. Each of them ends a cluster of unknown length. */
const TOP_LEVEL = [CLUSTER, 0x1c53bb6b, 0x1254c367, 0x1549a966, 0x1654ae6b, 0x114d9b74, 0x1941a469, 0x1043a770];

/** The bytes that are read at once. */
const WINDOW = 1 << 16;

/** An element: its content, and the position of its length. `end` is undefined where the length is unknown. */
interface Element {
  id: number;
  sizeAt: number;
  start: number;
  end: number | undefined;
}

/** A file that a reader of WebM reads to its end. */
export interface Matroska {
  blob: Blob;
  /** The seconds that the codec has put before the audio of the first audio track. */
  delay: number;
  /** The seconds of padding at the end of the last packet. */
  filling: number;
}

/** Whether a file is WebM or Matroska. */
export async function isMatroska(blob: Blob): Promise<boolean> {
  const head = await read(blob, 0, 4);
  return head.byteLength === 4 && head.getUint32(0) === EBML;
}

/** Return `blob` up to its last complete block. */
export async function cleanMatroska(blob: Blob): Promise<Matroska> {
  const file = new Elements(blob);
  let found: Found = { number: 0, delay: 0, filling: 0 };
  for await (const element of topLevel(file)) {
    if (element.id === TRACKS) found = { ...found, ...(await findAudio(file, element)) };
    if (element.id === CLUSTER) found = await walkCluster(file, element, found);
  }
  const { cluster, delay, filling } = found;
  if (!cluster || (cluster.end !== undefined && cluster.end <= blob.size)) return { blob, delay, filling };
  // mediabunny does not read a cluster that is longer than the file.
  const end = found.end ?? blob.size;
  const size = new DataView(new ArrayBuffer(8));
  size.setBigUint64(0, BigInt(end - cluster.start));
  size.setUint8(0, 1); // the length has seven more bytes
  const whole = new Blob([blob.slice(0, cluster.sizeAt), size, blob.slice(cluster.start, end)]);
  return { blob: whole, delay, filling };
}

/** The state of reading up to a position in the file. */
interface Found {
  /** The number of the first audio track. */
  number: number;
  delay: number;
  /** The padding of that track's last block, in seconds. */
  filling: number;
  /** The last cluster, and the end of its last complete element. */
  cluster?: Element;
  end?: number;
}

/** Yield the elements of the segment. */
async function* topLevel(file: Elements): AsyncGenerator<Element> {
  const header = await file.at(0);
  const segment = header?.end === undefined ? undefined : await file.at(header.end);
  if (segment?.id !== SEGMENT) return;
  for (let element = await file.at(segment.start); element; ) {
    yield element;
    element = await file.at(element.end ?? (await endOf(file, element)));
  }
}

/** Return the end of a cluster of unknown length. */
async function endOf(file: Elements, cluster: Element): Promise<number> {
  return (await walkCluster(file, cluster, { number: 0, delay: 0, filling: 0 })).end ?? file.size;
}

async function findAudio(file: Elements, tracks: Element): Promise<{ number: number; delay: number } | undefined> {
  for (const track of await file.children(tracks)) {
    if (track.id !== TRACK) continue;
    const properties = await file.children(track);
    const property = (id: number) => file.number(properties.find((each) => each.id === id));
    if ((await property(TRACK_TYPE)) !== AUDIO) continue;
    return { number: await property(TRACK_NUMBER), delay: (await property(CODEC_DELAY)) / 1e9 };
  }
  return undefined;
}

/** Return the state after a cluster. */
async function walkCluster(file: Elements, cluster: Element, before: Found): Promise<Found> {
  let [end, filling] = [cluster.start, before.filling];
  for (let child = await file.at(end); child && end < (cluster.end ?? file.size); child = await file.at(end)) {
    if (child.end === undefined || child.end > file.size || TOP_LEVEL.includes(child.id)) break;
    filling = (await fillingOf(file, child, before.number)) ?? filling;
    end = child.end;
  }
  return { ...before, filling, cluster, end };
}

/** Return the padding of a block of this track, or undefined for other elements. */
async function fillingOf(file: Elements, element: Element, track: number): Promise<number | undefined> {
  if (element.id === SIMPLE_BLOCK) return (await file.trackOf(element)) === track ? 0 : undefined;
  if (element.id !== BLOCK_GROUP) return undefined;
  const children = await file.children(element);
  const block = children.find(({ id }) => id === BLOCK);
  if (!block || (await file.trackOf(block)) !== track) return undefined;
  const filling = children.find(({ id }) => id === DISCARD_PADDING);
  return (await file.number(filling, true)) / 1e9;
}

/** Reads elements of a file by their headers, many at once. */
class Elements {
  readonly #blob: Blob;
  #start = 0;
  #window = new DataView(new ArrayBuffer(0));

  constructor(blob: Blob) {
    this.#blob = blob;
  }

  get size(): number {
    return this.#blob.size;
  }

  /** Return the element whose id is at `at`. Undefined at the end of the file, and where there is no element. */
  async at(at: number): Promise<Element | undefined> {
    const head = await this.#read(at, 12);
    const width = head.byteLength > 0 ? Math.clz32(head.getUint8(0)) - 23 : 9;
    if (width > 4 || head.byteLength < width + 1) return undefined;
    const lengthWidth = Math.clz32(head.getUint8(width)) - 23;
    if (lengthWidth > 8 || head.byteLength < width + lengthWidth) return undefined;
    const length = lengthOf(head, width, lengthWidth);
    const start = at + width + lengthWidth;
    const end = length === undefined ? undefined : start + length;
    return { id: unsigned(head, 0, width), sizeAt: at + width, start, end };
  }

  /** Return the children of an element. */
  async children(parent: Element): Promise<Element[]> {
    const children: Element[] = [];
    const end = parent.end ?? this.size;
    for (let child = await this.at(parent.start); child && child.start <= end; child = await this.at(child.end)) {
      children.push(child);
      if (child.end === undefined) break;
    }
    return children;
  }

  /**
   * Return an element's whole number, or 0 where there is no element. signed: whether the number is in two's
   * complement.
   */
  async number(element: Element | undefined, signed = false): Promise<number> {
    if (element?.end === undefined) return 0;
    const view = await this.#read(element.start, Math.min(8, element.end - element.start));
    const value = unsigned(view, 0, view.byteLength);
    return signed ? Number(BigInt.asIntN(8 * view.byteLength, BigInt(value))) : value;
  }

  /** Return the number of a block's track. */
  async trackOf(block: Element): Promise<number | undefined> {
    const view = await this.#read(block.start, 8);
    const width = view.byteLength > 0 ? Math.clz32(view.getUint8(0)) - 23 : 9;
    return width <= view.byteLength ? lengthOf(view, 0, width) : undefined;
  }

  async #read(at: number, length: number): Promise<DataView> {
    if (at < this.#start || at + length > this.#start + this.#window.byteLength) {
      this.#window = await read(this.#blob, at, Math.max(length, WINDOW));
      this.#start = at;
    }
    const offset = at - this.#start;
    const there = Math.max(0, Math.min(length, this.#window.byteLength - offset));
    return new DataView(this.#window.buffer, offset, there);
  }
}

function unsigned(view: DataView, at: number, width: number): number {
  let value = 0;
  for (let i = 0; i < width; i++) value = value * 256 + view.getUint8(at + i);
  return value;
}

/**
 * Return a length of `width` bytes. The first bits, up to a one, state only the width. Undefined where all other bits
 * are ones.
 */
function lengthOf(view: DataView, at: number, width: number): number | undefined {
  const mask = 0xff >> width;
  let value = view.getUint8(at) & mask;
  let known = value !== mask;
  for (let i = 1; i < width; i++) {
    known ||= view.getUint8(at + i) !== 0xff;
    value = value * 256 + view.getUint8(at + i);
  }
  return known ? value : undefined;
}
