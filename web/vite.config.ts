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

/** Minimum size for compression. Smaller files do not shrink enough for two more files in the binary. */
const COMPRESS_BYTES_MIN = 1024;

/**
 * Writes `.gz` and `.br` next to every text file of the build. The server embeds them and sends the one that the browser
 * accepts, so it compresses nothing itself.
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
          // Without index.html: the server changes its <base> and compresses nothing.
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
  // Relative, so that the same files work below a path prefix. `<base>` in index.html is the prefix.
  base: './',
  plugins: [react(), tailwindcss(), precompress()],
  resolve: {
    alias: { '@': source('./src') },
    // The source of the package, not its build: a change needs no rebuild.
    conditions: ['roomwatch-source', ...defaultClientConditions],
    dedupe: ['react', 'react-dom', '@tanstack/react-query'],
  },
  build: {
    target: 'es2022',
    // The polyfill is for browsers that are not supported.
    modulePreload: { polyfill: false },
    // The content security policy forbids data: URLs.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    manifest: 'manifest.json',
    rolldownOptions: {
      output: {
        // Shared modules are one file: twenty small ones slow down the first visit. Not among them is what most pages
        // load later or not at all: the timeline, project health, conditions, dialogs of rooms, watching, and the search for a
        // place in the log.
        codeSplitting: {
          groups: [
            {
              name: 'shared',
              test: /[\\/](?:web[\\/]src[\\/](?!sessions[\\/](?:lanes|session-timeline|timeline|use-zoom|moment|legend|some-rows)\.|settings[\\/]|attention[\\/](?:attention-panel|acknowledge-dialog)\.|room[\\/](?:cli-commands|commands-dialog|edit-room)\.|recordings[\\/](?:start|stop)-egress\.|watch[\\/](?!quality\.|several-rooms\.)|palette[\\/]match\.|events[\\/]seek\.)|packages[\\/](?!react[\\/]src[\\/](?:core[\\/](?:watch|transcript)|hooks[\\/]use(?:RoomConnection|AskedCommand|(?:Create|Delete)?Dispatch(?:es)?|StartEgress|StopEgress))\.)|lucide-react[\\/])/,
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
