/** Where the proxy reads which cluster owns a table: the demo writes it, and a person may as well. */
export interface DemoRegistry {
  /** What it is, in a few words: "the file /tmp/…". */
  readonly name: string;
  /** The keys of the proxy's configuration that lead to it. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Its content, to be shown. */
  content(): Promise<string>;
  /** Writes where a table is from now on. */
  assign(table: string, cluster: string): Promise<void>;
  /** The tables that it lists now. */
  tables(): Promise<string[]>;
  /** How a person moves a table by hand: a sentence, and a command to copy. */
  byHand(table: string, from: string, to: string): { readonly how: string; readonly command: string };
}

/** The MetaServers of a cluster, by its name. */
export type MetaAddresses = Readonly<Record<string, readonly string[]>>;
