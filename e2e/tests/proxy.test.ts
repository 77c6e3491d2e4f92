// Issue 6, behind a proxy: runs the configurations of docs/deploy.md as they are. Only names, ports and secrets are replaced,
// and the parts that belong to the machine (certificates, temporary files) are added.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Child } from '../harness/child.js';
import { API_KEY, API_SECRET, mint } from '../harness/livekit.js';
import { Reader } from '../harness/reader.js';
import { PASSWORD, Roomwatch, roomwatchBinary } from '../harness/roomwatch.js';
import { freePort, until } from '../harness/wait.js';
import { joined, post, started } from '../web/post.js';

// The certificates of this test are self-signed.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'deploy.md'), 'utf8');

/** Returns the first block of code after `heading`. */
function block(heading: string): string {
  const found = page.slice(page.indexOf(heading)).match(/```\w*\n([\s\S]*?)```/);
  if (!page.includes(heading) || !found?.[1]) throw new Error(`docs/deploy.md has no code after ${heading}`);
  return found[1];
}

/** Replaces texts. Each must occur. */
function put(text: string, ...pairs: [string, string][]): string {
  return pairs.reduce((done, [from, to]) => {
    if (!done.includes(from)) throw new Error(`docs/deploy.md has no ${from}`);
    return done.replaceAll(from, to);
  }, text);
}

type Place = { dir: string; port: number; upstream: number; prefix: string };

const proxies = {
  caddy({ dir, port, upstream, prefix }: Place): Child {
    const site = put(
      block('**Caddy**'),
      ['rooms.example.com', `localhost:${port}`],
      ['reverse_proxy 127.0.0.1:3001', `reverse_proxy ${prefix && `${prefix}/* `}127.0.0.1:${upstream}`],
    );
    const machine = '{\n admin off\n local_certs\n skip_install_trust\n auto_https disable_redirects\n}\n';
    writeFileSync(join(dir, 'Caddyfile'), machine + site);
    const env = { HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
    return new Child('caddy', 'caddy', ['run', '--config', join(dir, 'Caddyfile'), '--adapter', 'caddyfile'], env);
  },
  nginx({ dir, port, upstream, prefix }: Place): Child {
    const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')];
    const subject = ['-subj', '/CN=localhost', '-days', '2', '-keyout', key, '-out', certificate];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], { stdio: 'ignore' });
    const site = put(
      block('**nginx**'),
      ['listen 443', `listen 127.0.0.1:${port}`],
      ['rooms.example.com', 'localhost'],
      ['# ssl_certificate …', `ssl_certificate ${certificate}; ssl_certificate_key ${key};`],
      ['location / ', `location ${prefix}/ `],
      ['127.0.0.1:3001', `127.0.0.1:${upstream}`],
    );
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const paths = temporary.map((name) => `${name}_temp_path ${dir}/${name};`).join(' ');
    const machine = `daemon off; master_process off; pid ${dir}/nginx.pid; error_log stderr; events {}`;
    writeFileSync(join(dir, 'nginx.conf'), `${machine}\nhttp { access_log off; ${paths}\n${site}}\n`);
    return new Child('nginx', 'nginx', ['-e', 'stderr', '-c', join(dir, 'nginx.conf')]);
  },
};

describe.each([
  ['caddy', ''],
  ['caddy', '/rooms'],
  ['nginx', ''],
  ['nginx', '/rooms'],
] as const)('behind %s, at "%s/"', (name, prefix) => {
  const dir = mkdtempSync(join(tmpdir(), `roomwatch-${name}-`));
  let url: string;
  let roomwatch: Roomwatch;
  let proxy: Child;

  beforeAll(async () => {
    const port = await freePort();
    url = `https://localhost:${port}${prefix}`;
    const environment = put(
      block('with, in `/etc/roomwatch/environment`'),
      ['wss://livekit.example.com', 'http://127.0.0.1:1'],
      ['APIxxxxxxxx', API_KEY],
      ['LIVEKIT_API_SECRET=…', `LIVEKIT_API_SECRET=${API_SECRET}`],
      ['ROOMWATCH_PASSWORD=…', `ROOMWATCH_PASSWORD=${PASSWORD}`],
      ['https://rooms.example.com', url],
    );
    const env = Object.fromEntries(
      environment
        .trim()
        .split('\n')
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    );
    roomwatch = await Roomwatch.start({ env, name: `roomwatch-${name}` });
    proxy = proxies[name]({ dir, port, upstream: roomwatch.port, prefix });
    await until(`${name} to answer`, async () => {
      if (proxy.exited) throw new Error(`${name} ended: ${proxy.output().slice(-2_000)}`);
      return (await fetch(`${url}/readyz`)).ok;
    });
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    await roomwatch?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('passes the checks of docs/deploy.md', () => {
    // A stream does not end, so read it for one second.
    const checks = put(
      block('## 3. Check it'),
      ['https://rooms.example.com', url],
      ['"password":"…"', `"password":"${PASSWORD}"`],
      ['$(roomwatch ', `$(${roomwatchBinary()} `],
      ['curl -N ', 'curl -N --max-time 1 '],
      ['curl ', 'curl -k '],
    );
    const said = execFileSync('bash', ['-c', `${checks}\ntrue`], {
      encoding: 'utf8',
      env: { ...process.env, LIVEKIT_API_KEY: API_KEY, LIVEKIT_API_SECRET: API_SECRET },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [readyz, rooms, foreign, cookie] = said.split(/\r?\n/);
    expect(readyz).toBe('ready');
    expect([rooms, foreign].map((line) => line?.split(' ')[1])).toEqual(['401', '403']);
    expect(cookie).toMatch(prefix ? /__Secure-roomwatch=/ : /__Host-roomwatch=/);
    expect(cookie).toContain(`Path=${prefix}/;`);
    for (const flag of ['HttpOnly', 'SameSite=Strict', 'Secure']) expect(cookie).toContain(`; ${flag}`);
    expect(said).toContain('"type":"connected"');
  });

  it('streams without a delay, resumes, and accepts webhooks', async () => {
    const headers = { authorization: `Bearer ${await mint({ roomList: true }, 'reader')}` };
    const webhooks = { webhookUrl: `${url}/api/webhooks/livekit` };
    const reader = new Reader(`${url}/api/events`, headers);
    try {
      await reader.opened();
      // A proxy with buffering would delay it at least until the next heartbeat.
      await post(webhooks, started('behind'));
      const first = await reader.find('the room', (m) => m.room === 'behind', 3_000);
      // The maximum size of LiveKit's webhooks.
      const large = joined('behind', 'alice');
      await post(webhooks, { ...large, participant: { ...large.participant, metadata: 'x'.repeat(3 << 20) } });
      const second = await reader.find('alice', (m) => m.type === 'participant_joined', 5_000);
      const resumed = new Reader(`${url}/api/events`, { ...headers, 'last-event-id': first.cursor });
      try {
        await resumed.find('alice again', (m) => m.cursor === second.cursor, 5_000);
        expect([resumed.connections[0]?.resumed, resumed.messages.length]).toEqual([true, 1]);
      } finally {
        resumed.close();
      }
    } finally {
      reader.close();
    }
  });

  it('signs in from its own pages, and upgrades Socket.IO', async () => {
    const origin = new URL(url).origin;
    const login = await fetch(`${url}/api/login`, {
      method: 'POST',
      headers: { origin, 'content-type': 'application/json' },
      body: JSON.stringify({ password: PASSWORD }),
    });
    expect(login.status).toBe(200);
    const cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? '';
    const socket = io(origin, {
      path: `${prefix}/socket.io`,
      transports: ['websocket'],
      extraHeaders: { cookie, origin },
      rejectUnauthorized: false,
      reconnection: false,
    });
    try {
      const connected = await new Promise<{ type: string }>((resolve, reject) => {
        socket.on('connected', resolve);
        socket.on('connect_error', reject);
      });
      expect([connected.type, socket.io.engine.transport.name]).toEqual(['connected', 'websocket']);
    } finally {
      socket.disconnect();
    }
  });
});
