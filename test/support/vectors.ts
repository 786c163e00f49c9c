import { readFileSync } from 'node:fs';

/** A request frame of an official client; see test/fixtures/README.md. */
export interface RequestVector {
  readonly id: string;
  readonly client: string;
  readonly headerVersion: number;
  readonly rpc: string;
  readonly seqId: number;
  readonly appName: string | null;
  readonly partitionIndices: readonly number[] | null;
  readonly clientTimeoutMs: number;
  readonly header: {
    readonly appId: number;
    readonly partitionIndex: number;
    readonly clientTimeoutMs: number;
    readonly threadHash?: number;
    readonly partitionHash: string;
    readonly isBackupRequest?: boolean;
  };
  readonly hex: string;
  readonly frame: Buffer;
}

/** A response frame; see test/fixtures/README.md. */
export interface ResponseVector {
  readonly id: string;
  readonly rpc: string;
  readonly seqId: number;
  readonly headerError: string;
  readonly bodyErr: string | null;
  readonly appId: number | null;
  readonly partitionCount: number | null;
  readonly hex: string;
  readonly frame: Buffer;
}

export const requestVectors = load<RequestVector>('requests.json');
export const responseVectors = load<ResponseVector>('responses.json');

/** The vector of that id; throws where there is none. */
export function requestVector(id: string): RequestVector {
  return find(requestVectors, id);
}

/** The vector of that id; throws where there is none. */
export function responseVector(id: string): ResponseVector {
  return find(responseVectors, id);
}

function load<T extends { readonly frame: Buffer }>(file: string): readonly T[] {
  const rows = JSON.parse(readFileSync(new URL(`../fixtures/${file}`, import.meta.url), 'utf8')) as { hex: string }[];
  return rows.map((row) => ({ ...row, frame: Buffer.from(row.hex, 'hex') }) as unknown as T);
}

function find<T extends { readonly id: string }>(vectors: readonly T[], id: string): T {
  const vector = vectors.find((one) => one.id === id);
  if (vector === undefined) throw new Error(`no vector ${id}`);
  return vector;
}
