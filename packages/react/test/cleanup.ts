const todo: (() => unknown)[] = [];

/** Runs after the test, the latest first, also after a failure. */
export function atEnd(fn: () => unknown): void {
  todo.push(fn);
}

export async function cleanUp(): Promise<void> {
  for (let fn = todo.pop(); fn; fn = todo.pop()) await fn();
}
