import { MalformedFrameError } from './malformed-frame.ts';
import { TYPE_STRUCT } from './thrift-binary.ts';
import type { WireType } from './thrift-struct.ts';

/*
 * rDSN's hand-made base types. The IDL has them as empty structs, so a field header says "struct", but their bytes
 * have no field headers and no stop (the server's thrift_helper.h):
 *
 *   error_code:  string, the error's name
 *   gpid:        i64, partition index in the high half, app id in the low half
 *   rpc_address: i64, IPv4 in bits 63..32, port in 31..16, type in the low bits (1 = IPv4, 0 = invalid)
 *   host_port:   string host, i16 port, i8 type (0 = invalid, 1 = one host, 2 = a group)
 *   blob:        string of any bytes
 */

const ADDRESS_IPV4 = 1;
const HOST_PORT_VALID = 1;

/** An error's name, as it is: "ERR_OK". Names that nobody knows pass, too. */
export const errorCode: WireType<string> = {
  thriftType: TYPE_STRUCT,
  idl: 'error_code',
  read: (input) => input.string(),
  write: (output, name) => output.string(name),
};

/** Which partition of which table. */
export interface Gpid {
  readonly appId: number;
  readonly partitionIndex: number;
}

export const gpid: WireType<Gpid> = {
  thriftType: TYPE_STRUCT,
  idl: 'gpid',
  read(input) {
    const partitionIndex = input.i32();
    return { appId: input.i32(), partitionIndex };
  },
  write(output, value) {
    output.i32(value.partitionIndex);
    output.i32(value.appId);
  },
};

/** An IPv4 address as "a.b.c.d:port"; undefined for an invalid one, written as zero. */
export const rpcAddress: WireType<string | undefined> = {
  thriftType: TYPE_STRUCT,
  idl: 'rpc_address',
  hasUndefined: true,
  read(input) {
    const bits = BigInt.asUintN(64, input.i64());
    const ip = Number(bits >> 32n);
    // Only the two lowest bits are the type (rpc_address.h); the others are unused.
    if ((Number(bits & 0xffffn) & 3) !== ADDRESS_IPV4) return undefined;
    const host = [ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255].join('.');
    return `${host}:${Number((bits >> 16n) & 0xffffn)}`;
  },
  write(output, address) {
    output.i64(address === undefined ? 0n : addressBits(address));
  },
};

function addressBits(address: string): bigint {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(address);
  const [a = 256, b = 256, c = 256, d = 256, port = 65536] = (match ?? []).slice(1).map(Number);
  if (Math.max(a, b, c, d) > 255 || port > 65535) {
    throw new RangeError(`an rpc_address holds an IPv4 address and a port, not ${address}`);
  }
  const ip = BigInt(((a << 24) | (b << 16) | (c << 8) | d) >>> 0);
  return (ip << 32n) | (BigInt(port) << 16n) | BigInt(ADDRESS_IPV4);
}

/** "host:port" of a server with FQDN support; undefined for an invalid one, and for a group, which names no host. */
export const hostPort: WireType<string | undefined> = {
  thriftType: TYPE_STRUCT,
  idl: 'host_port',
  hasUndefined: true,
  read(input) {
    const host = input.string();
    // Announced as an i16, meant as an unsigned port.
    const port = input.i16() & 0xffff;
    return input.byte() === HOST_PORT_VALID ? `${host}:${port}` : undefined;
  },
  write(output, address) {
    const colon = address?.lastIndexOf(':') ?? -1;
    if (address !== undefined && colon < 0) throw new RangeError(`a host_port needs a port: ${address}`);
    output.string(address?.slice(0, colon) ?? '');
    output.i16(address === undefined ? 0 : (Number(address.slice(colon + 1)) << 16) >> 16);
    output.byte(address === undefined ? 0 : HOST_PORT_VALID);
  },
};

export const blob: WireType<Buffer> = {
  thriftType: TYPE_STRUCT,
  idl: 'blob',
  read: (input) => input.binary(),
  write: (output, bytes) => output.binary(bytes),
};

/** Reads with `read`, and makes of every error of the library's what the rest of wire/ throws. */
export function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedFrameError) throw error;
    throw new MalformedFrameError('args', error instanceof Error ? error.message : String(error));
  }
}
