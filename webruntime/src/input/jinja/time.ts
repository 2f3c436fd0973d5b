/** Implements strftime in English, with this machine's time. */

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAY_MS = 86_400_000;

export function strftime(format: string, time: Date): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, bare: string, code: string) => {
    const made = directive(code, time);
    if (made === undefined) return whole;
    return bare ? made.replace(/^0+(?=\d)/, "") : made;
  });
}

function directive(code: string, time: Date): string | undefined {
  const two = (value: number) => value.toString().padStart(2, "0");
  const hour = time.getHours() % 12 || 12;
  const day = dayOfYear(time);
  const known: Record<string, () => string> = {
    a: () => (DAYS[time.getDay()] as string).slice(0, 3),
    A: () => DAYS[time.getDay()] as string,
    b: () => (MONTHS[time.getMonth()] as string).slice(0, 3),
    B: () => MONTHS[time.getMonth()] as string,
    c: () => strftime("%a %b %e %H:%M:%S %Y", time),
    d: () => two(time.getDate()),
    D: () => strftime("%m/%d/%y", time),
    e: () => time.getDate().toString().padStart(2),
    f: () => time.getMilliseconds().toString().padStart(3, "0").padEnd(6, "0"),
    F: () => strftime("%Y-%m-%d", time),
    h: () => (MONTHS[time.getMonth()] as string).slice(0, 3),
    H: () => two(time.getHours()),
    I: () => two(hour),
    j: () => (day + 1).toString().padStart(3, "0"),
    m: () => two(time.getMonth() + 1),
    M: () => two(time.getMinutes()),
    n: () => "\n",
    p: () => (time.getHours() < 12 ? "AM" : "PM"),
    R: () => strftime("%H:%M", time),
    S: () => two(time.getSeconds()),
    t: () => "\t",
    T: () => strftime("%H:%M:%S", time),
    u: () => (time.getDay() || 7).toString(),
    U: () => two(Math.floor((day + 7 - time.getDay()) / 7)),
    w: () => time.getDay().toString(),
    W: () => two(Math.floor((day + 7 - ((time.getDay() + 6) % 7)) / 7)),
    x: () => strftime("%m/%d/%y", time),
    X: () => strftime("%H:%M:%S", time),
    y: () => two(time.getFullYear() % 100),
    Y: () => time.getFullYear().toString(),
    // Empty for a time without a zone, such as datetime.now().
    z: () => "",
    Z: () => "",
    "%": () => "%",
  };
  return known[code]?.();
}

function dayOfYear(time: Date): number {
  const date = (year: number, month: number, day: number) => Date.UTC(year, month, day);
  const today = date(time.getFullYear(), time.getMonth(), time.getDate());
  return Math.round((today - date(time.getFullYear(), 0, 1)) / DAY_MS);
}
