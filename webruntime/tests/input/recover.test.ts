import { expect, test } from "vitest";
import { recoverPlanes } from "../../src/input/video/recover.ts";

const [WIDTH, HEIGHT] = [37, 22];
const ACROSS = Math.ceil(WIDTH / 2);

/** BT.709 of limited range, by the definition of libyuv's row functions. */
function libyuv(y: number, u: number, v: number): number[] {
  const light = ((y * 0x0101 * 18997) >>> 16) - 1160;
  const [blue, red] = [u - 128, v - 128];
  return [light + 115 * red, light - 14 * blue - 34 * red, light + 128 * blue].map((sum) => sum >> 6);
}

function planes() {
  const luma = Uint8Array.from({ length: WIDTH * HEIGHT }, (_, at) => 90 + ((at * 7) % 60));
  const blue = Uint8Array.from({ length: ACROSS * (HEIGHT / 2) }, (_, at) => 115 + ((at * 5) % 30));
  const red = Uint8Array.from(blue, (_, at) => 110 + ((at * 11) % 40));
  return { luma, blue, red };
}

function rgba({ luma, blue, red }: ReturnType<typeof planes>): Uint8Array {
  const data = new Uint8Array(WIDTH * HEIGHT * 4);
  luma.forEach((y, at) => {
    const block = (Math.floor(at / WIDTH) >> 1) * ACROSS + ((at % WIDTH) >> 1);
    data.set([...libyuv(y, blue[block] as number, red[block] as number), 255], at * 4);
  });
  return data;
}

test("planes are recovered from libyuv's RGB", () => {
  const expected = planes();
  const found = recoverPlanes({ width: WIDTH, height: HEIGHT, data: rgba(expected) }, 8);
  expect(found).toMatchObject({ halfColumns: true, halfRows: true, bits: 8 });
  expect(found?.luma.values).toEqual(expected.luma);
  expect(found?.blue.values).toEqual(expected.blue);
  expect(found?.red.values).toEqual(expected.red);
});

test("values of more bits are in the middle of those that are truncated to them", () => {
  const expected = planes();
  const found = recoverPlanes({ width: WIDTH, height: HEIGHT, data: rgba(expected) }, 10);
  expect(found?.luma.values).toEqual(Uint16Array.from(expected.luma, (value) => value * 4 + 1));
});

test("RGB that was made in another way is unchanged", () => {
  let state = 1;
  const noise = Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, () => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return state >> 16;
  });
  expect(recoverPlanes({ width: WIDTH, height: HEIGHT, data: noise }, 8)).toBeUndefined();
});
