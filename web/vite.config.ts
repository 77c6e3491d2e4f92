import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defaultClientConditions, type Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Text below this size does not shrink enough to be worth two more files in the binary. */
const COMPRESS_BYTES_MIN = 1024;

/**
 * Writes `.gz` and `.br` next to every text file of the build. The server embeds them and answers with the one the
 * browser accepts, so it never compresses the dashboard itself.
 */
function precompress(): Plugin {
  let dir = '';
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      dir = join(config.root, config.build.outDir);
    },
    async closeBundle() {
      const files = await readdir(dir, { recursive: true });
      await Promise.all(
        files
          // index.html is left out: the server rewrites its <base> and compresses nothing.
          .filter((file) => /\.(js|css|svg|json|txt)$/.test(file))
          .map(async (file) => {
            const body = await readFile(join(dir, file));
            if (body.length < COMPRESS_BYTES_MIN) return;
            const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
            await writeFile(join(dir, `${file}.gz`), await promisify(gzip)(body, { level: 9 }));
            await writeFile(join(dir, `${file}.br`), await promisify(brotliCompress)(body, quality));
          }),
      );
    },
  };
}

export default defineConfig({
  // Relative, so that the same files work below a path prefix; `<base>` in index.html says where they are.
  base: './',
  plugins: [react(), tailwindcss(), precompress()],
  resolve: {
    alias: { '@': source('./src') },
    // The package's source, not its build: nobody has to rebuild it to see a change.
    conditions: ['roomwatch-source', ...defaultClientConditions],
    dedupe: ['react', 'react-dom', '@tanstack/react-query'],
  },
  build: {
    target: 'es2022',
    // The polyfill is an inline script's worth of code for browsers that none of us support.
    modulePreload: { polyfill: false },
    // data: URLs are not in the content security policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    manifest: 'manifest.json',
    rolldownOptions: {
      output: {
        // What two pages share is one file: twenty small ones keep a first visit waiting for its page.
        codeSplitting: {
          groups: [
            {
              name: 'shared',
              test: /[\\/](?:web[\\/]src[\\/]|packages[\\/]|lucide-react[\\/])/,
              minShareCount: 2,
            },
          ],
        },
      },
    },
  },
  test: { environment: 'happy-dom', include: ['test/**/*.test.{ts,tsx}'] },
  server: {
    port: 5173,
    proxy: {
      '/api': process.env.ROOMWATCH_URL ?? 'http://127.0.0.1:3001',
      '/socket.io': { target: process.env.ROOMWATCH_URL ?? 'http://127.0.0.1:3001', ws: true },
    },
  },
});
