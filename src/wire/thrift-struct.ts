import { MalformedFrameError } from './malformed-frame.ts';
import {
  TYPE_BOOL,
  TYPE_BYTE,
  TYPE_I16,
  TYPE_I32,
  TYPE_I64,
  TYPE_LIST,
  TYPE_MAP,
  TYPE_STRING,
  TYPE_STRUCT,
} from './thrift-binary.ts';
import type { ThriftReader, ThriftWriter } from './thrift-io.ts';

/**
 * Thrift types described once, as values; readers, writers and TypeScript types all follow from the description.
 * messages.ts holds the descriptions, idl/pegasus.thrift is what a test holds them against.
 */

/** How values of one type are written and read, and what the IDL calls it. */
export interface WireType<T> {
  /** What a field header or a list says of it. */
  readonly thriftType: number;
  /** Its spelling in the IDL. */
  readonly idl: string;
  /** Whether undefined is one of its values, and no sign of an absent field. */
  readonly hasUndefined?: boolean;
  read(input: ThriftReader): T;
  write(output: ThriftWriter, value: T): void;
}

/** A struct's field. An optional one may be absent from the wire, whatever the IDL says of it. */
export interface Field<T, Optional extends boolean> {
  readonly id: number;
  readonly type: WireType<T>;
  readonly optional: Optional;
}

type FieldMap = Readonly<Record<string, Field<unknown, boolean>>>;

type FieldValue<F> = F extends Field<infer T, boolean> ? T : never;

/** The TypeScript type of a struct with these fields. */
type StructValue<F extends FieldMap> = {
  readonly [K in keyof F as F[K]['optional'] extends true ? never : K]: FieldValue<F[K]>;
} & {
  readonly [K in keyof F as F[K]['optional'] extends true ? K : never]?: FieldValue<F[K]> | undefined;
};

/** A struct's description, its fields in the order of their ids. */
export interface StructType<T> extends WireType<T> {
  readonly fields: readonly NamedField[];
}

/** A field together with its name. */
export interface NamedField extends Field<unknown, boolean> {
  readonly name: string;
}

/** An enum's description; an enumerator that isn't in it reads as `UNKNOWN_<number>`. */
export interface EnumType<Name extends string> extends WireType<Name | `UNKNOWN_${number}`> {
  readonly enumerators: Readonly<Record<Name, number>>;
}

/** The type of the values that a description describes. */
export type ValueOf<W> = W extends WireType<infer T> ? T : never;

export const bool: WireType<boolean> = {
  thriftType: TYPE_BOOL,
  idl: 'bool',
  read: (input) => input.bool(),
  write: (output, value) => output.bool(value),
};

export const i8: WireType<number> = {
  thriftType: TYPE_BYTE,
  idl: 'i8',
  read: (input) => input.byte(),
  write: (output, value) => output.byte(value),
};

export const i16: WireType<number> = {
  thriftType: TYPE_I16,
  idl: 'i16',
  read: (input) => input.i16(),
  write: (output, value) => output.i16(value),
};

export const i32: WireType<number> = {
  thriftType: TYPE_I32,
  idl: 'i32',
  read: (input) => input.i32(),
  write: (output, value) => output.i32(value),
};

export const i64: WireType<bigint> = {
  thriftType: TYPE_I64,
  idl: 'i64',
  read: (input) => input.i64(),
  write: (output, value) => output.i64(value),
};

export const string: WireType<string> = {
  thriftType: TYPE_STRING,
  idl: 'string',
  read: (input) => input.string(),
  write: (output, value) => output.string(value),
};

export function list<T>(item: WireType<T>): WireType<readonly T[]> {
  return {
    thriftType: TYPE_LIST,
    idl: `list<${item.idl}>`,
    read(input) {
      const count = input.listBegin(item.thriftType);
      const items: T[] = [];
      for (let i = 0; i < count; i++) items.push(item.read(input));
      return items;
    },
    write(output, items) {
      output.listBegin(item.thriftType, items.length);
      for (const value of items) item.write(output, value);
    },
  };
}

export function map<K, V>(key: WireType<K>, value: WireType<V>): WireType<ReadonlyMap<K, V>> {
  return {
    thriftType: TYPE_MAP,
    idl: `map<${key.idl}, ${value.idl}>`,
    read(input) {
      const count = input.mapBegin(key.thriftType, value.thriftType);
      const entries = new Map<K, V>();
      for (let i = 0; i < count; i++) entries.set(key.read(input), value.read(input));
      return entries;
    },
    write(output, entries) {
      output.mapBegin(key.thriftType, value.thriftType, entries.size);
      for (const [k, v] of entries) {
        key.write(output, k);
        value.write(output, v);
      }
    },
  };
}

/** An enum, on the wire an i32, here its enumerator's name. */
export function enumeration<Name extends string>(
  idl: string,
  enumerators: Readonly<Record<Name, number>>,
): EnumType<Name> {
  const names = new Map<number, Name>();
  for (const name of Object.keys(enumerators) as Name[]) names.set(enumerators[name], name);
  return {
    thriftType: TYPE_I32,
    idl,
    enumerators,
    read(input) {
      const value = input.i32();
      return names.get(value) ?? `UNKNOWN_${value}`;
    },
    write(output, name) {
      const known: number | undefined = enumerators[name as Name];
      output.i32(known ?? Number(name.slice('UNKNOWN_'.length)));
    },
  };
}

/** A field that is always written, and without which the struct can't be read. */
export function field<T>(id: number, type: WireType<T>): Field<T, false> {
  return { id, type, optional: false };
}

/** A field that may be absent. */
export function optional<T>(id: number, type: WireType<T>): Field<T, true> {
  return { id, type, optional: true };
}

/** A struct; fields are written in the order of their ids, as every serializer of Pegasus does. */
export function struct<F extends FieldMap>(idl: string, fieldMap: F): StructType<StructValue<F>> {
  const fields = Object.entries(fieldMap)
    .map(([name, of]) => ({ name, ...of }))
    .sort((a, b) => a.id - b.id);
  const byId = new Map(fields.map((of) => [of.id, of]));
  return {
    thriftType: TYPE_STRUCT,
    idl,
    fields,
    read: (input) => readStruct(input, idl, fields, byId) as StructValue<F>,
    write: (output, value) => writeStruct(output, fields, value),
  };
}

function readStruct(
  input: ThriftReader,
  idl: string,
  fields: readonly NamedField[],
  byId: ReadonlyMap<number, NamedField>,
): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (let head = input.fieldBegin(); head !== undefined; head = input.fieldBegin()) {
    const known = byId.get(head.id);
    // A newer peer's field. If it is one of the hand-made base types, what follows is misread, and refused by its lengths.
    if (known === undefined || known.type.thriftType !== head.type) input.skip(head.type);
    else value[known.name] = known.type.read(input);
  }
  for (const { name, optional: mayBeAbsent } of fields) {
    if (!mayBeAbsent && !(name in value)) throw new MalformedFrameError('args', `${idl} without ${name}`);
  }
  return value;
}

function writeStruct(output: ThriftWriter, fields: readonly NamedField[], value: Readonly<Record<string, unknown>>) {
  for (const { name, id, type } of fields) {
    const isPresent = value[name] !== undefined || (type.hasUndefined === true && name in value);
    if (!isPresent) continue;
    output.fieldBegin(type.thriftType, id);
    type.write(output, value[name]);
  }
  output.fieldStop();
}
