import thrift from 'thrift';
import { MalformedFrameError } from './malformed-frame.ts';

/**
 * The one place that touches the npm `thrift` library: its TBinaryProtocol over a transport of ours that is nothing
 * but a buffer. Its streaming transports wait for more bytes or keep their own framing; here a whole frame is at hand.
 * Not for the hot path: the library allocates for every value.
 */

const FIRST_CAPACITY = 256;

/** The library's transport interface over one buffer: reads within its bounds, or appends to it. */
class BytesTransport implements thrift.TTransport {
  #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  /** What has been written so far. */
  written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  ensureAvailable(length: number): void {
    if (length > this.remaining) {
      throw new MalformedFrameError('args', `${length} bytes are due, ${this.remaining} are left`);
    }
  }

  read(length: number): Buffer {
    this.ensureAvailable(length);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  readByte(): number {
    return this.read(1).readInt8();
  }

  readI16(): number {
    return this.read(2).readInt16BE();
  }

  readI32(): number {
    return this.read(4).readInt32BE();
  }

  readDouble(): number {
    return this.read(8).readDoubleBE();
  }

  readString(length = 0): string {
    return this.read(length).toString('utf8');
  }

  write(data: Buffer | string): void {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    if (bytes.length > this.remaining) {
      const grown = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + bytes.length));
      this.#bytes.copy(grown, 0, 0, this.#at);
      this.#bytes = grown;
    }
    bytes.copy(this.#bytes, this.#at);
    this.#at += bytes.length;
  }

  // What the library's interface asks for, and a buffer has no use for.
  commitPosition(): void {}
  rollbackPosition(): void {}
  setCurrSeqId(): void {}
  flush(): void {}
  isOpen(): boolean {
    return true;
  }
  open(): boolean {
    return true;
  }
  close(): boolean {
    return true;
  }
}

/** A field's header as read: its thrift type and its id. */
export interface FieldHead {
  readonly type: number;
  readonly id: number;
}

/** Reads thrift values one after the other. Every method throws where the bytes end before the value does. */
export class ThriftReader {
  readonly #transport: BytesTransport;
  readonly #protocol: thrift.TBinaryProtocol;

  constructor(bytes: Buffer, offset = 0) {
    this.#transport = new BytesTransport(bytes, offset);
    this.#protocol = new thrift.TBinaryProtocol(this.#transport);
  }

  /** Where the next value stands. */
  get offset(): number {
    return this.#transport.offset;
  }

  bool(): boolean {
    return this.#protocol.readBool();
  }

  byte(): number {
    return this.#protocol.readByte();
  }

  i16(): number {
    return this.#protocol.readI16();
  }

  i32(): number {
    return this.#protocol.readI32();
  }

  /** As a bigint: the library's own Int64 is exact only up to 2^53. */
  i64(): bigint {
    return this.#transport.read(8).readBigInt64BE();
  }

  string(): string {
    return this.#protocol.readString();
  }

  /** A view of the bytes read from, not a copy. */
  binary(): Buffer {
    return this.#protocol.readBinary();
  }

  /** The next field's header; undefined at the struct's end. */
  fieldBegin(): FieldHead | undefined {
    const { ftype, fid } = this.#protocol.readFieldBegin();
    return ftype === thrift.Thrift.Type.STOP ? undefined : { type: ftype, id: fid };
  }

  /** The item count of a list whose items must be of `itemType`. */
  listBegin(itemType: number): number {
    const { etype, size } = this.#protocol.readListBegin();
    return this.#count(size, etype === itemType);
  }

  /** The entry count of a map whose keys and values must be of these types. */
  mapBegin(keyType: number, valueType: number): number {
    const { ktype, vtype, size } = this.#protocol.readMapBegin();
    // An empty map needs no types, and some serializers write zeros for them.
    return this.#count(size, size === 0 || (ktype === keyType && vtype === valueType));
  }

  /** Steps over one value. Wrong for rDSN's hand-made base types: announced as structs, they aren't ones. */
  skip(type: number): void {
    this.#protocol.skip(type);
  }

  #count(size: number, rightTypes: boolean): number {
    // Every item takes a byte at least: a count beyond the rest is a lie, found before any loop.
    if (!rightTypes || size < 0 || size > this.#transport.remaining) {
      throw new MalformedFrameError('args', `a collection of ${size} items, ${rightTypes ? '' : 'of another type, '}`);
    }
    return size;
  }
}

/** Writes thrift values one after the other into a buffer that grows. */
export class ThriftWriter {
  readonly #transport = new BytesTransport(Buffer.allocUnsafe(FIRST_CAPACITY), 0);
  readonly #protocol: thrift.TBinaryProtocol;

  /** `strict` false writes the old form of message begin (name, type, seqid), without the version word. */
  constructor(strict = true) {
    this.#protocol = new thrift.TBinaryProtocol(this.#transport, false, strict);
  }

  messageBegin(name: string, type: number, seqId: number): void {
    this.#protocol.writeMessageBegin(name, type, seqId);
    this.#protocol.writeMessageEnd();
  }

  bool(value: boolean): void {
    this.#protocol.writeBool(value);
  }

  byte(value: number): void {
    this.#protocol.writeByte(value);
  }

  i16(value: number): void {
    this.#protocol.writeI16(value);
  }

  i32(value: number): void {
    this.#protocol.writeI32(value);
  }

  i64(value: bigint): void {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(BigInt.asIntN(64, value));
    this.#transport.write(bytes);
  }

  string(value: string): void {
    this.#protocol.writeString(value);
  }

  binary(value: Buffer): void {
    this.#protocol.writeBinary(value);
  }

  fieldBegin(type: number, id: number): void {
    this.#protocol.writeFieldBegin('', type, id);
  }

  fieldStop(): void {
    this.#protocol.writeFieldStop();
  }

  listBegin(itemType: number, count: number): void {
    this.#protocol.writeListBegin(itemType, count);
  }

  mapBegin(keyType: number, valueType: number, count: number): void {
    this.#protocol.writeMapBegin(keyType, valueType, count);
  }

  /** All that has been written. */
  bytes(): Buffer {
    return this.#transport.written();
  }
}
