#!/usr/bin/env node
import { Daemon } from '../daemon/daemon.ts';
import { run } from './run.ts';

// a reader that has gone away (`| head`) is no reason to end with a stack trace
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const code = await run(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  events: process,
  exit: (code) => process.exit(code),
  createDaemon: (config, logger) => new Daemon(config, logger),
});
// Not left to the event loop: a handle that was forgotten must not keep the process. Output goes out first.
process.stdout.write('', () => process.exit(code));
