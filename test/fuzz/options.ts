/** What `npm run fuzz` hands over in the environment; without it, the short form with its fixed seed. */
export interface FuzzOptions {
  readonly seed: number;
  /** Inputs for all decoders together. */
  readonly frames: number;
  /** Time for everything, in seconds; what comes first, this or the frames, ends it. */
  readonly seconds: number;
  /** The number of the first input of each decoder: a failure's own number makes it again alone. */
  readonly from: number;
}

const SHORT_FORM: FuzzOptions = { seed: 20_260_313, frames: 40_000, seconds: 60, from: 0 };

export const options: FuzzOptions = {
  seed: fromEnvironment('FUZZ_SEED', SHORT_FORM.seed),
  frames: fromEnvironment('FUZZ_FRAMES', SHORT_FORM.frames),
  seconds: fromEnvironment('FUZZ_SECONDS', SHORT_FORM.seconds),
  from: fromEnvironment('FUZZ_FROM', SHORT_FORM.from),
};

function fromEnvironment(name: string, otherwise: number): number {
  const value = process.env[name];
  if (value === undefined || value === '') return otherwise;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${name}: not a whole number: ${value}`);
  return number;
}
