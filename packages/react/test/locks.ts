/**
 * Web Locks for Node 20, which has none: exclusive locks, a queue for each name, `signal` and `steal`.
 * https://w3c.github.io/web-locks/
 */
export class TestLocks {
  private readonly held = new Map<string, (reason: unknown) => void>();
  private readonly queues = new Map<string, (() => void)[]>();

  request(name: string, options: { signal?: AbortSignal; steal?: boolean }, callback: () => unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const aborted = () => reject(new DOMException('Aborted', 'AbortError'));
      const queue = this.queues.get(name) ?? [];
      this.queues.set(name, queue);
      const grant = async () => {
        options.signal?.removeEventListener('abort', cancel);
        const lose = (reason: unknown) => reject(reason);
        this.held.set(name, lose);
        const result = await callback();
        if (this.held.get(name) !== lose) return;
        this.held.delete(name);
        resolve(result);
        queue.shift()?.();
      };
      const cancel = () => {
        const at = queue.indexOf(start);
        if (at >= 0) queue.splice(at, 1);
        aborted();
      };
      const start = () => void grant();
      if (options.signal?.aborted) return aborted();
      options.signal?.addEventListener('abort', cancel);
      if (options.steal) {
        this.held.get(name)?.(new DOMException('Stolen', 'AbortError'));
        setTimeout(start);
      } else if (this.held.has(name)) queue.push(start);
      else {
        this.held.set(name, () => {});
        setTimeout(start);
      }
    });
  }
}
