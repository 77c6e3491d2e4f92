const todo: (() => unknown)[] = [];

/** Runs after the test, the latest first, whatever became of the test. */
export function atEnd(fn: () => unknown): void {
  todo.push(fn);
}

export async function cleanUp(): Promise<void> {
  for (let fn = todo.pop(); fn; fn = todo.pop()) await fn();
}
