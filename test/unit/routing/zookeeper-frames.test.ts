import { describe, expect, it } from 'vitest';
import { ZookeeperFrames } from '../../../src/routing/zookeeper-frames.ts';
import { framed } from '../../support/zookeeper-fake.ts';

const BODIES = ['', 'a', 'hello', 'x'.repeat(300)];
const STREAM = Buffer.concat(BODIES.map((body) => framed(Buffer.from(body))));

function cut(frames: ZookeeperFrames, chunks: Buffer[]): string[] {
  const bodies: string[] = [];
  for (const chunk of chunks) frames.push(chunk, (frame) => bodies.push(frame.subarray(4).toString()));
  return bodies;
}

describe('ZookeeperFrames', () => {
  it('cuts the same frames wherever the stream is split in two', () => {
    for (let at = 0; at <= STREAM.length; at += 1) {
      const chunks = [STREAM.subarray(0, at), STREAM.subarray(at)];
      expect(cut(new ZookeeperFrames(1_000), chunks)).toEqual(BODIES);
    }
  });

  it('cuts them byte by byte', () => {
    const bytes = Array.from(STREAM, (_, i) => STREAM.subarray(i, i + 1));
    expect(cut(new ZookeeperFrames(1_000), bytes)).toEqual(BODIES);
  });

  it('takes ten thousand frames in one chunk, and one large frame in thousands, in a moment', () => {
    const many = Buffer.concat(Array.from({ length: 10_000 }, (_, i) => framed(Buffer.from(`${i}`))));
    expect(cut(new ZookeeperFrames(1_000), [many])).toHaveLength(10_000);
    const large = framed(Buffer.alloc(4_000_000, 'y'));
    const chunks = Array.from({ length: 4_000 }, (_, i) => large.subarray(i * 1_001, (i + 1) * 1_001));
    const startedAt = performance.now();
    expect(cut(new ZookeeperFrames(5_000_000), chunks)[0]).toHaveLength(4_000_000);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('believes no length that is negative or beyond its limit', () => {
    for (const length of [-1, -4, -2_147_483_648, 1_001, 2_147_483_647]) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(length);
      expect(() => cut(new ZookeeperFrames(1_000), [bytes])).toThrow(`a frame of ${length} bytes`);
    }
  });

  it('lets its limit be changed between two frames of one chunk', () => {
    const frames = new ZookeeperFrames(5);
    const got: number[] = [];
    frames.push(STREAM, (frame) => {
      got.push(frame.length - 4);
      frames.maxLength = 300;
    });
    expect(got).toEqual([0, 1, 5, 300]);
  });
});
