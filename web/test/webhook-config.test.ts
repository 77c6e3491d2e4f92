import { expect, test } from 'vitest';
import { explainRejection } from '@/settings/rejections';
import { addressTrouble, livekitYaml, webhookUrl } from '@/settings/webhook-config';

test('the address has single slashes, whatever was typed', () => {
  expect(webhookUrl(' https://watch.example.com/roomwatch// ')).toBe(
    'https://watch.example.com/roomwatch/api/webhooks/livekit',
  );
});

test('the lines are valid YAML for LiveKit', () => {
  expect(livekitYaml('https://watch.example.com', 'APIabc')).toBe(
    'webhook:\n  api_key: APIabc\n  urls:\n    - "https://watch.example.com/api/webhooks/livekit"\n',
  );
  // Quoted where YAML would read a number, a boolean's neighbour or a comment.
  expect(livekitYaml('https://x', '1e5')).toContain('api_key: "1e5"');
  expect(livekitYaml('https://x', 'a: b #')).toContain('api_key: "a: b #"');
});

test.each(['localhost:3001', 'ftp://x', '', 'watch.example.com'])('%s is not an address', (address) => {
  expect(addressTrouble(address)).toContain('Not an HTTP');
});

test.each(['http://localhost:3001', 'http://127.0.0.1:3001/x', 'http://[::1]:3001'])(
  '%s is only reachable from this machine',
  (address) => {
    expect(addressTrouble(address)).toContain('this machine');
  },
);

test('a reachable address has no problem', () => {
  expect(addressTrouble('https://watch.example.com/roomwatch')).toBeNull();
});

test('every reason says what to do; an unknown reason is shown as it is', () => {
  expect(explainRejection('unknown_key', 'APIold').what).toContain('APIold');
  expect(explainRejection('quite_new', null).what).toContain('quite new');
});
