import { createHash } from 'node:crypto';
import { isTableName } from '../wire/table-name.ts';
import { BadRouteError, type Route, routeFromValue } from './route.ts';

/*
 * Lines of JSON: what it is; then each route before the first table that has it, and the tables, the last used first,
 * each with the number of its route (from 0, in the order of the file); at last the number of tables and the checksum.
 *
 *   {"magic":"pegasus-meta-proxy routes","format":1,"program":"1.2.3","written":"2025-…Z","registry":{…}}
 *   {"cluster":"c1","metas":["10.0.0.1:34601","10.0.0.2:34601"]}
 *   ["temp",0,"4294967301",1735689600000]               (table, route, version, verified until: ms since the epoch)
 *   {"tables":1,"sha256":"hex, of all bytes before this line"}
 */

/** A route that was known to be right at a time. */
export interface KnownRoute {
  readonly table: string;
  readonly route: Route;
  /** As the store numbered it; comparable within one run of the program only. */
  readonly version: bigint;
  /** Until when it is known to have been right: ms since the epoch. */
  readonly verifiedAt: number;
}

/** Which registry the routes come from. */
export interface RegistryIdentity {
  readonly kind: string;
  /** The ZooKeeper servers, or the file. One in common makes it the same registry: servers come and go. */
  readonly places: readonly string[];
  /** Where in it the tables are; empty for a file. */
  readonly root: string;
}

/** What a snapshot says of itself. */
export interface SnapshotHead {
  /** The version of the program that wrote it. */
  readonly program: string;
  readonly registry: RegistryIdentity;
}

export interface Snapshot {
  readonly program: string;
  /** ISO 8601. */
  readonly written: string;
  readonly routes: readonly KnownRoute[];
}

/** Why some content is not used as a snapshot: a part of a sentence, for the log. */
export class RefusedSnapshotError extends Error {
  override readonly name = 'RefusedSnapshotError';
}

const MAGIC = 'pegasus-meta-proxy routes';
const FORMAT = 1;
/** Some million tables; neither written nor read beyond that. */
export const MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024;
/** A piece takes a millisecond or so to make. */
const LINES_PER_PIECE = 250;
const NEWLINE = 0x0a;

/** The bytes of a snapshot, piece by piece; where they would be too many, the tables used least are left out. */
export function* encodeSnapshot(
  { program, registry }: SnapshotHead,
  routes: Iterable<KnownRoute>,
  maxBytes = MAX_SNAPSHOT_BYTES,
): Generator<Buffer> {
  const hash = createHash('sha256');
  let bytes = 0;
  const seal = (lines: readonly string[]): Buffer => {
    const piece = Buffer.from(`${lines.join('\n')}\n`);
    hash.update(piece);
    bytes += piece.length;
    return piece;
  };
  const written = new Date().toISOString();
  yield seal([JSON.stringify({ magic: MAGIC, format: FORMAT, program, written, registry })]);
  const numbers = new Map<string, number>();
  let tables = 0;
  let lines: string[] = [];
  // A piece and the last line always fit into a hundredth of the bound.
  const enough = maxBytes * 0.99;
  for (const { table, route, version, verifiedAt } of routes) {
    const place = JSON.stringify({ cluster: route.cluster, metas: route.metas });
    let number = numbers.get(place);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(place, number);
      lines.push(place);
    }
    lines.push(JSON.stringify([table, number, String(version), Math.round(verifiedAt)]));
    tables++;
    if (lines.length < LINES_PER_PIECE) continue;
    yield seal(lines);
    lines = [];
    if (bytes >= enough) break;
  }
  if (lines.length > 0) yield seal(lines);
  yield Buffer.from(`${JSON.stringify({ tables, sha256: hash.digest('hex') })}\n`);
}

/** Reads a snapshot of this registry. Throws `RefusedSnapshotError`. */
export function decodeSnapshot(content: Buffer, registry: RegistryIdentity): Snapshot {
  const head = decodeHead(content);
  const end = checkedEnd(content);
  const from = head.registry as Partial<RegistryIdentity> | undefined;
  if (!isSameRegistry(from, registry)) {
    throw new RefusedSnapshotError(`it is of another registry: ${JSON.stringify(from)?.slice(0, 200)}`);
  }
  const lines = content.toString('utf8', content.indexOf(NEWLINE) + 1, Math.max(0, end.start - 1)).split('\n');
  const routes = decodeLines(lines[0] === '' ? [] : lines);
  if (routes.length !== end.tables) throw new RefusedSnapshotError('it is corrupt: the number of tables differs');
  return { program: String(head.program), written: String(head.written), routes };
}

/** Tables of one route share one object. */
function decodeLines(lines: readonly string[]): KnownRoute[] {
  const places: Route[] = [];
  const routes: KnownRoute[] = [];
  for (const [i, line] of lines.entries()) {
    try {
      if (line.startsWith('[')) routes.push(decodeTable(line, places));
      else places.push(decodePlace(line));
    } catch (error) {
      if (!(error instanceof BadLineError) && !(error instanceof BadRouteError)) throw error;
      throw new RefusedSnapshotError(`line ${i + 2} makes no sense: ${error.message}`);
    }
  }
  return routes;
}

class BadLineError extends Error {}

function decodePlace(line: string): Route {
  const { cluster, metas } = parseObject(line) ?? {};
  return routeFromValue({ cluster, 'meta-addrs': metas });
}

function decodeTable(line: string, places: readonly Route[]): KnownRoute {
  const [table, place, version, verifiedAt] = parseArray(line);
  const route = typeof place === 'number' ? places[place] : undefined;
  if (typeof table !== 'string' || !isTableName(table)) throw new BadLineError('no table name');
  if (route === undefined) throw new BadLineError('no route of that number');
  if (typeof version !== 'string' || !/^\d{1,40}$/.test(version)) throw new BadLineError('no version');
  if (typeof verifiedAt !== 'number' || !Number.isFinite(verifiedAt)) throw new BadLineError('no time');
  return { table, route, version: BigInt(version), verifiedAt };
}

function decodeHead(content: Buffer): Record<string, unknown> {
  if (content.length === 0) throw new RefusedSnapshotError('it is empty');
  const end = content.indexOf(NEWLINE);
  const head = parseObject(content.toString('utf8', 0, end < 0 ? Math.min(content.length, 4096) : end));
  if (head?.magic !== MAGIC) throw new RefusedSnapshotError('it is no snapshot of routes, or its beginning is corrupt');
  // Before the checksum: a later format may have another one.
  if (typeof head.format !== 'number' || head.format > FORMAT) {
    throw new RefusedSnapshotError(
      `it has format ${String(head.format)}, written by version ${String(head.program)}; this program reads up to ${FORMAT}`,
    );
  }
  return head;
}

/** Checks that the content is whole and as it was written; finds where its last line begins. */
function checkedEnd(content: Buffer): { readonly start: number; readonly tables: number } {
  if (content.at(-1) !== NEWLINE) throw new RefusedSnapshotError('it is truncated');
  const start = content.lastIndexOf(NEWLINE, -2) + 1;
  const end = parseObject(content.toString('utf8', start, content.length - 1));
  if (typeof end?.sha256 !== 'string' || typeof end.tables !== 'number') {
    throw new RefusedSnapshotError('it is truncated');
  }
  const actual = createHash('sha256').update(content.subarray(0, start)).digest('hex');
  if (end.sha256 !== actual) throw new RefusedSnapshotError('it is corrupt: its checksum differs');
  return { start, tables: end.tables };
}

function isSameRegistry(a: Partial<RegistryIdentity> | undefined, b: RegistryIdentity): boolean {
  const { places } = a ?? {};
  const share = Array.isArray(places) && b.places.some((place) => places.includes(place));
  return share && a?.kind === b.kind && a.root === b.root;
}

function parseArray(text: string): readonly unknown[] {
  const value: unknown = parseObject(text);
  return Array.isArray(value) ? value : [];
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
