import { type Config, ConfigError, formatConfig, loadConfig } from '../daemon/config.ts';
import { MAX_TABLE_FILE_BYTES, parseTableFile } from '../routing/table-file.ts';
import { BadFileError, readSmallFile } from '../routing/yaml-file.ts';
import { EXIT, type Host } from './host.ts';

/**
 * Prints the effective configuration; with a file registry, looks into the file of tables as well and says what is
 * wrong there. Resolves to the exit code. Throws `ConfigError`.
 */
export async function check(file: string, host: Host): Promise<number> {
  const config = await loadConfig(file);
  const problems = config.registry === 'file' ? await checkTables(config) : [];
  if (problems.length > 0) {
    for (const problem of problems) host.err(`${problem}\n`);
    return EXIT.usage;
  }
  host.out(`# ${file} is good. The effective configuration:\n${formatConfig(config)}`);
  return EXIT.ok;
}

async function checkTables({ file: { path } }: Config): Promise<string[]> {
  try {
    const tables = parseTableFile(await readSmallFile(path, MAX_TABLE_FILE_BYTES));
    return [...tables].flatMap(([table, { problem }]) =>
      problem === undefined ? [] : `${path}: ${table}: ${problem}`,
    );
  } catch (error) {
    if (!(error instanceof BadFileError)) throw error;
    throw new ConfigError(`${path}${error.line === undefined ? '' : `:${error.line}`}: ${error.message}`);
  }
}
