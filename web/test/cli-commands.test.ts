import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { muteCommand, participantCommands, roomCommands, shellQuote } from '@/room/cli-commands';

const words = (line: string) =>
  execFileSync('bash', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' })
    .split('\0')
    .slice(0, -1);

it.each(['standup', "o'hara", '$(reboot)', '`id`', 'a b', '"', '\\', 'naïve 🎉', 'x\ny', ''])(
  'passes %j to a shell as one word',
  (name) => expect(words(shellQuote(name))).toEqual([name]),
);

it('does not read a name that starts with a dash as an option', () => {
  const end = roomCommands('--force', undefined).at(-1);
  expect(words(end?.lk ?? '')).toEqual(['lk', 'room', 'delete', '--', '--force']);
});

it('encodes a name in an address as one segment', () => {
  const list = roomCommands('../a?b/c', 'p q')[0];
  expect(list?.curl).toContain('/api/rooms/..%2Fa%3Fb%2Fc/participants?project=p%20q');
});

it('has the participant, the track and the wanted state', () => {
  expect(participantCommands('r', "o'hara", undefined).at(-1)?.lk).toBe(
    `lk room participants remove --room r 'o'\\''hara'`,
  );
  const mute = muteCommand('r', 'alice', 'TR_1', true, undefined);
  expect(mute.lk).toBe('lk room mute-track --mute --room r --identity alice TR_1');
  expect(mute.curl).toContain('/api/rooms/r/participants/alice/tracks/TR_1/mute');
  expect(mute.curl).toContain(`-d '{"muted":true}'`);
});

it('never puts a secret into a command', () => {
  for (const { curl } of roomCommands('r', undefined)) expect(curl).toContain('Bearer $ROOMWATCH_TOKEN');
});
