// @vitest-environment node
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const roots = {
  web: fileURLToPath(new URL('../src', import.meta.url)),
  package: fileURLToPath(new URL('../../packages/react/src', import.meta.url)),
};

/** Returns the imports of each module below a folder: modules by path without ending, packages by name. */
function importsOf(root: string): Map<string, string[]> {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));
  const withoutEnding = (file: string) => file.replace(/\.tsx?$/, '');
  const imports = files.map((file): [string, string[]] => {
    const text = readFileSync(join(root, file), 'utf8');
    const found = [...text.matchAll(/(?:\bfrom |\bimport\(|^import )'([^']+)'/gm)].map(([, name = '']) => {
      if (name.startsWith('@/')) return name.slice(2);
      return name.startsWith('.') ? relative(root, join(root, dirname(file), name)) : name;
    });
    return [withoutEnding(file), found];
  });
  return new Map(imports);
}

/** Returns the first cycle of modules, or null. Imports of types and lazy imports count too. */
function cycleIn(imports: Map<string, string[]>): string[] | null {
  const done = new Set<string>();
  const visit = (module: string, path: string[]): string[] | null => {
    if (path.includes(module)) return [...path.slice(path.indexOf(module)), module];
    if (done.has(module)) return null;
    for (const next of imports.get(module) ?? []) {
      const cycle = visit(next, [...path, module]);
      if (cycle) return cycle;
    }
    done.add(module);
    return null;
  };
  for (const module of imports.keys()) {
    const cycle = visit(module, []);
    if (cycle) return cycle;
  }
  return null;
}

/** Returns "a imports b" for each import of the chosen modules that is not allowed. */
function forbidden(imports: Map<string, string[]>, inside: string, allowed: (name: string) => boolean): string[] {
  const modules = [...imports].filter(([module]) => module.startsWith(inside));
  expect(modules.length).toBeGreaterThan(10);
  return modules.flatMap(([module, names]) =>
    names.filter((name) => !name.startsWith(inside) && !allowed(name)).map((name) => `${module} imports ${name}`),
  );
}

describe('imports', () => {
  it.each(Object.entries(roots))('have no cycle: %s', (_name, root) => {
    const imports = importsOf(root);
    expect(imports.size).toBeGreaterThan(30);
    expect(cycleIn(imports)).toBeNull();
  });

  it('are searched for cycles', () => {
    const imports = new Map([
      ['a', ['b', 'react']],
      ['b', ['c']],
      ['c', ['b']],
    ]);
    expect(cycleIn(imports)).toEqual(['b', 'c', 'b']);
  });

  it('of the core of the package contain no React', () => {
    const clients = ['livekit-client', 'socket.io-client'];
    expect(forbidden(importsOf(roots.package), 'core/', (name) => clients.includes(name))).toEqual([]);
  });

  it('of ui/ contain no other part of the dashboard', () => {
    const imports = importsOf(roots.web);
    expect(forbidden(imports, 'ui/', (name) => name === 'base' || !imports.has(name))).toEqual([]);
  });

  it('of the dashboard contain only the public entries of the package', () => {
    const names = [...importsOf(roots.web).values()].flat().filter((name) => /roomwatch|packages/.test(name));
    expect(new Set(names)).toEqual(new Set(['@roomwatch/react', '@roomwatch/react/livekit']));
  });
});
