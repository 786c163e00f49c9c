import { describe, expect, it } from 'vitest';
import { FrameDecoder, type FrameLength, HEAD_BYTES } from '../../../src/wire/frame-decoder.ts';
import { requestFrameLength } from '../../../src/wire/request-frame.ts';
import { responseFrameLength } from '../../../src/wire/response-frame.ts';
import { requestVector, requestVectors, responseVector, responseVectors } from '../../support/vectors.ts';

const MAX = 1024 * 1024;

/** Every frame that comes out when the chunks go in, copied, since frames are views. */
function decode(rule: FrameLength, chunks: readonly Buffer[], max = MAX): string[] {
  const frames: string[] = [];
  const decoder = new FrameDecoder(rule, max, (frame) => frames.push(frame.toString('hex')) > 0);
  for (const chunk of chunks) decoder.push(Buffer.from(chunk));
  expect(decoder.pendingBytes).toBe(0);
  return frames;
}

describe('FrameDecoder', () => {
  it('gives every client request back whole, cut at every byte boundary', () => {
    for (const { frame } of requestVectors) {
      for (let cut = 0; cut <= frame.length; cut++) {
        const frames = decode(requestFrameLength, [frame.subarray(0, cut), frame.subarray(cut)]);
        expect(frames).toEqual([frame.toString('hex')]);
      }
    }
  });

  it('gives every response back whole, cut at every byte boundary', () => {
    for (const { frame } of responseVectors) {
      const step = frame.length > 1000 ? 37 : 1;
      for (let cut = 0; cut <= frame.length; cut += step) {
        const frames = decode(responseFrameLength, [frame.subarray(0, cut), frame.subarray(cut)]);
        expect(frames).toEqual([frame.toString('hex')]);
      }
    }
  });

  it('takes a stream byte by byte', () => {
    const frames = [requestVector('java-query-temp-all-seq1'), requestVector('go-query-temp-all-seq1')].map(
      (v) => v.frame,
    );
    const bytes = [...Buffer.concat(frames)].map((byte) => Buffer.from([byte]));
    expect(decode(requestFrameLength, bytes)).toEqual(frames.map((frame) => frame.toString('hex')));
  });

  it('cuts all vectors out of one chunk, and out of chunks of any size', () => {
    const expected = requestVectors.map(({ frame }) => frame.toString('hex'));
    const stream = Buffer.concat(requestVectors.map(({ frame }) => frame));
    for (const size of [stream.length, 1, 7, 19, 20, 21, 47, 48, 49, 100, 1000, 65536]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
      expect(decode(requestFrameLength, chunks)).toEqual(expected);
    }
  });

  it('does not copy a frame that lies in one chunk', () => {
    const chunk = Buffer.concat([
      requestVector('go-query-temp-all-seq1').frame,
      requestVector('go-query-temp-all-seq2').frame,
    ]);
    const decoder = new FrameDecoder(requestFrameLength, MAX, (frame) => {
      expect(frame.buffer).toBe(chunk.buffer);
      return true;
    });
    decoder.push(chunk);
    expect.assertions(2);
  });

  it('stops when its sink says so', () => {
    const { frame } = requestVector('go-query-temp-all-seq1');
    let taken = 0;
    const decoder = new FrameDecoder(requestFrameLength, MAX, () => ++taken < 2);
    decoder.push(Buffer.concat([frame, frame, frame, frame]));
    decoder.push(frame);
    expect(taken).toBe(2);
  });

  it('refuses a length over the limit as soon as the head is there, and allocates nothing for it', () => {
    const head = Buffer.from(requestVector('go-query-temp-all-seq1').frame.subarray(0, 20));
    head.writeInt32BE(0x7fffffff - 48, 16);
    const decoder = new FrameDecoder(requestFrameLength, MAX, () => true);
    expect(() => decoder.push(head)).toThrow(/1048576 are allowed/);
    expect(decoder.pendingBytes).toBe(0);
  });

  it('takes a frame of exactly the limit, and refuses one byte more', () => {
    const { frame } = responseVector('ok-4');
    expect(decode(responseFrameLength, [frame], frame.length)).toHaveLength(1);
    expect(() => decode(responseFrameLength, [frame], frame.length - 1)).toThrow(/are allowed/);
  });

  it('holds no more than has come of a frame that claims to be large', () => {
    const head = Buffer.alloc(100);
    head.writeInt32BE(900_000, 0);
    const decoder = new FrameDecoder(responseFrameLength, MAX, () => true);
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(head);
    expect(decoder.pendingBytes).toBe(100);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200_000);
  });

  it('leaves large frames in pieces where it is told to, without copying more than their heads', () => {
    const frame = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251));
    frame.writeInt32BE(frame.length, 0);
    const small = responseVector('ok-4').frame;
    const stream = Buffer.concat([small, frame, small, frame, frame]);
    const expected = [small, frame, small, frame, frame].map((one) => one.toString('hex'));
    for (const size of [1, 3, 100, 511, 512, 513, 5000, 65_536, 99_999, 1_000_000]) {
      const frames: string[] = [];
      const decoder = new FrameDecoder(
        responseFrameLength,
        MAX,
        (first, rest) => {
          if (rest.length > 0) expect(first.length).toBeGreaterThanOrEqual(HEAD_BYTES);
          const copied = rest.filter((piece) => piece.buffer !== stream.buffer);
          expect(copied).toHaveLength(0);
          return frames.push(Buffer.concat([first, ...rest]).toString('hex')) > 0;
        },
        32 * 1024,
      );
      for (let at = 0; at < stream.length; at += size) decoder.push(stream.subarray(at, at + size));
      expect(frames).toEqual(expected);
      expect(decoder.pendingBytes).toBe(0);
    }
  });

  it('puts a large frame together from many chunks', () => {
    const frame = Buffer.alloc(300_000, 7);
    frame.writeInt32BE(frame.length, 0);
    const chunks: Buffer[] = [];
    for (let at = 0; at < frame.length; at += 1460) chunks.push(frame.subarray(at, at + 1460));
    expect(decode(responseFrameLength, [...chunks, frame])).toEqual([frame.toString('hex'), frame.toString('hex')]);
  });
});
