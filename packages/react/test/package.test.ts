import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'rolldown';
import { expect, it } from 'vitest';
import { atEnd } from './cleanup';

const root = join(import.meta.dirname, '..');

it('has a core below 6 KiB', async () => {
  const id = join(root, 'src/core/all.ts');
  const { output } = await build({
    input: id,
    // The stream, the client, and the code that applies changes: the part that every app loads.
    plugins: [
      {
        name: 'all-of-the-core',
        resolveId: (source) => (source === id ? id : null),
        load: (file) => (file === id ? "export * from './index'; export * from './apply';" : null),
      },
    ],
    output: { format: 'esm', minify: true },
    write: false,
  });
  const bytes = gzipSync(output[0].code).length;
  console.info(`core: ${bytes} bytes, gzip`);
  expect(output).toHaveLength(1);
  expect(bytes).toBeLessThan(6 * 1024);
});

it('loads livekit-client and socket.io-client only when a hook needs them, and no React in the core', async () => {
  const chunks = await build({
    input: {
      index: join(root, 'src/index.ts'),
      core: join(root, 'src/core/index.ts'),
      livekit: join(root, 'src/hooks/useRoomConnection.ts'),
      socket: join(root, 'src/hooks/useSocketEvents.ts'),
    },
    external: /^[^./]/,
    write: false,
  });
  const reach = (name: string): string[] => {
    const seen = new Set<string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      seen.add(file);
      const chunk = chunks.output.find((one) => one.fileName === file);
      if (chunk?.type === 'chunk') for (const next of chunk.imports) visit(next);
    };
    visit(`${name}.js`);
    return [...seen].filter((file) => !file.endsWith('.js')).sort();
  };
  expect(reach('core')).toEqual([]);
  const hooks = ['@tanstack/react-query', 'react', 'react/jsx-runtime'];
  expect(reach('index')).toEqual(hooks);
  expect(reach('livekit')).toEqual(hooks);
  expect(reach('socket')).toEqual(hooks);
});

it("has the types of the server's OpenAPI document (else run `npm run generate`)", () => {
  const args = ['openapi-typescript', '../../docs/openapi.json', '--output', 'src/core/schema.ts', '--check'];
  execFileSync('npx', args, { cwd: root, stdio: 'pipe' });
});

it('knows every error code that is documented', () => {
  const documented = [...readFileSync(join(root, '../../docs/errors.md'), 'utf8').matchAll(/^### (\w+)/gm)].map(
    ([, code]) => code,
  );
  const known = readFileSync(join(root, 'src/core/error.ts'), 'utf8');
  expect(documented.length).toBeGreaterThan(20);
  expect(documented.filter((code) => !known.includes(`'${code}'`))).toEqual([]);
});

it('has README examples that compile', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const examples = [...readme.matchAll(/```tsx\n([\s\S]*?)```/g)].map(([, code]) => code ?? '');
  expect(examples.length).toBeGreaterThan(0);
  expect(examples[0]?.trim().split('\n').length).toBeLessThanOrEqual(10);
  const dir = mkdtempSync(join(root, '.readme-'));
  atEnd(() => rmSync(dir, { recursive: true }));
  for (const [at, code] of examples.entries()) writeFileSync(join(dir, `${at}.tsx`), code);
  const config = { extends: '../tsconfig.json', include: ['*.tsx'] };
  writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(config));
  execFileSync('npx', ['tsc', '-p', dir], { cwd: root, stdio: 'pipe' });
}, 180_000);
