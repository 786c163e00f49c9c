import { randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The file system, as far as a file is replaced here; a test may put its own in the place of a part. */
export interface Disk {
  open(path: string, flags: string): Promise<Pick<FileHandle, 'write' | 'sync' | 'close'>>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
}

export const DISK: Disk = {
  open: (path, flags) => open(path, flags),
  rename,
  remove: (path) => rm(path, { force: true }),
};

const LEFTOVER_AGE_MS = 60_000;

/**
 * Replaces a file whole or not at all, whatever happens in between, a power loss included: the pieces go into a new
 * file beside it, which takes its place when it is safely on disk. Between two pieces the event loop gets its turn.
 * Rejects with the system's error; the old file is untouched then, unless only the last sync of the folder failed.
 */
export async function replaceFile(path: string, pieces: Iterable<Buffer>, disk: Disk): Promise<void> {
  // A name of its own each time: two processes that share the path by mistake never write into the same file.
  const fresh = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await disk.open(fresh, 'wx');
    try {
      for (const piece of pieces) await writeAll(file, piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(fresh, path);
  } catch (error) {
    await disk.remove(fresh).catch(() => {});
    throw error;
  }
  const folder = await disk.open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Removes what processes that were killed while they replaced this file have left beside it. Never rejects. */
export async function removeLeftovers(path: string): Promise<void> {
  const pattern = /^\.[0-9a-f]{12}\.tmp$/;
  const [folder, name] = [dirname(path), basename(path)];
  const names = await readdir(folder).catch(() => []);
  for (const each of names.filter((one) => one.startsWith(name) && pattern.test(one.slice(name.length)))) {
    const leftover = join(folder, each);
    const changedAt = await stat(leftover).then(
      (stats) => stats.mtimeMs,
      () => undefined,
    );
    // A young one may be another process' that is at work.
    if (changedAt !== undefined && Date.now() - changedAt > LEFTOVER_AGE_MS)
      await rm(leftover, { force: true }).catch(() => {});
  }
}

async function writeAll(file: Pick<FileHandle, 'write'>, piece: Buffer): Promise<void> {
  for (let at = 0; at < piece.length; ) at += (await file.write(piece, at)).bytesWritten;
}
