import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';
import { type Identity, mint } from './livekit.js';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--auto-select-desktop-capture-source=Entire screen',
  '--autoplay-policy=no-user-gesture-required',
];

/** Debian's Chromium, headless, with a fake camera and microphone. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
    headless: true,
    args: FLAGS,
  });
}

/** Serves an empty page and livekit-client on loopback, which is a secure origin: getUserMedia needs one. */
export async function stage(): Promise<{ url: string; close: () => Promise<void> }> {
  const client = readFileSync(createRequire(import.meta.url).resolve('livekit-client'));
  const server: Server = createServer((request, response) => {
    if (request.url === '/livekit-client.js') response.setHeader('content-type', 'text/javascript').end(client);
    else
      response
        .setHeader('content-type', 'text/html')
        .end('<!doctype html><title>participant</title><script src="livekit-client.js"></script>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (!address || typeof address !== 'object') throw new Error('the stage has no port');
  return {
    url: `http://127.0.0.1:${address.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Joins a room with livekit-client in `page`, which must show the `stage`; `window.room` is the room afterwards. */
export async function joinInPage(
  page: Page,
  wsUrl: string,
  room: string,
  identity: string,
  extra: Identity = {},
): Promise<string> {
  const token = await mint({ roomJoin: true, room }, identity, extra);
  return page.evaluate(
    async ([url, jwt]) => {
      const { Room } = (window as any).LivekitClient;
      const joined = new Room({ dynacast: false, adaptiveStream: false });
      (window as any).room = joined;
      await joined.connect(url, jwt);
      return joined.localParticipant.sid as string;
    },
    [wsUrl, token] as const,
  );
}
