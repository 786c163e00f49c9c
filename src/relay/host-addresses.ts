import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';

/** All addresses of a host name, in the order of the resolver. Rejects where it can't be looked up. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

/** By the system's resolver (/etc/hosts, DNS, …), as every other program on the machine sees the name. */
export const resolveHost: ResolveHost = async (host) => {
  const found = await lookup(host, { all: true });
  return found.map(({ address }) => address);
};

/** The same as `net.connect` wants it, which tries one address after the other. */
export function lookupWith(resolve: ResolveHost): LookupFunction {
  return (host, options, callback) => {
    resolve(host).then(
      (addresses) => {
        const all = addresses.map((address) => ({ address, family: isIP(address) }));
        const first = all[0];
        if (first === undefined)
          callback(Object.assign(new Error(`no address for ${host}`), { code: 'ENOTFOUND' }), '');
        else if (options.all === true) callback(null, all);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
}
