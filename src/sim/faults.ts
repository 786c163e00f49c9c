/**
 * What a simulated server can be told to do wrong. All can be changed at run time; what is left out is off. Where
 * several are given they apply together, in the order of this list.
 */
export interface Faults {
  /** The faults below concern queries of this table alone; all requests where it is left out. */
  readonly table?: string;
  /** The faults below end after so many requests that they were applied to. */
  readonly times?: number;

  /** Nothing more is read from any socket: the peer's bytes pile up, first in the kernel, then at the peer. */
  readonly freezeReading?: boolean;
  /** A request resets its connection (RST), unanswered. */
  readonly resetOnRequest?: boolean;
  /** Requests are read and never answered. */
  readonly stall?: boolean;

  /** Error name of the RPC layer, for whatever is asked. */
  readonly headerError?: string;
  /** `err` of the answer to a query-config. */
  readonly bodyError?: string;
  /** The answer to a query-config is ERR_FORWARD_TO_OTHERS with this IPv4 "a.b.c.d:port"; with '' it names none. */
  readonly redirectTo?: string;

  /** Added to the seqId of the answer. */
  readonly seqIdOffset?: number;
  /** These bytes go out instead of the answer. */
  readonly rubbish?: Buffer;
  /** The answer's length field says this. */
  readonly absurdLength?: number;

  /** Answers are kept until `release()`. */
  readonly hold?: boolean;
  /** So many answers are collected, then sent last first. */
  readonly reverse?: number;
  /** Milliseconds that an answer waits before it is sent. */
  readonly delayMs?: number;

  /** Only so many bytes of the answer are sent, then the connection is reset (see `cutWith`). */
  readonly cutAfterBytes?: number;
  /** How `cutAfterBytes` ends the connection; 'reset' unless told. */
  readonly cutWith?: 'reset' | 'end';
  /** The answer goes out in pieces of these sizes, the rest as one more, each in a write (and turn) of its own. */
  readonly splitAt?: readonly number[];
}

export const NO_FAULTS: Faults = Object.freeze({});
