import { type ComponentType, type ReactNode, use, useEffect, useState } from 'react';

const loads: (() => Promise<void> | undefined)[] = [];

/** The file of a page could not be loaded. `retry` tries once more. */
export class PageFileError extends Error {
  constructor(readonly retry: () => Promise<void> | undefined) {
    super('Roomwatch does not answer. The page opens when it does.');
  }
}

/**
 * Returns a page that is in a file of its own. The router's own lazy component reloads the browser if the file cannot be
 * loaded. With a dead server that would replace the last known state by the browser's error.
 *
 * The type of the page stays open: a page uses the types of the router, and the router has the pages.
 */
export function pageFile<File>(load: () => Promise<File>, name: keyof File) {
  let Found: ComponentType | undefined;
  let failed: PageFileError | undefined;
  let loading: Promise<void> | undefined;
  /** Loads the file, also after a failure. It never rejects: the page throws when it is drawn. */
  const preload = () => {
    if (Found || loading) return loading;
    failed = undefined;
    loading = load().then(
      (file) => {
        Found = file[name] as ComponentType;
        loading = undefined;
      },
      () => {
        failed = new PageFileError(preload);
        loading = undefined;
      },
    );
    return loading;
  };
  // biome-ignore lint/correctness/noComponentHookFactories: called once for each page, outside of any component
  function PageFile() {
    if (failed) throw failed;
    if (!Found) {
      const pending = preload();
      if (pending) use(pending);
    }
    return Found ? <Found /> : null;
  }
  loads.push(preload);
  return Object.assign(PageFile, { preload });
}

/** Time between two attempts to load a part, in milliseconds. */
const RETRY_MS = 2_000;

/**
 * Returns a dialog or a part of a page that is in a file of its own: most visits never open it. `waiting` is shown until the
 * file is there. A file that cannot be loaded is tried again, and the rest of the page stays as it is. A large one is loaded
 * only when it is shown (`isLarge`).
 */
export function partFile<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  waiting: (props: Props) => ReactNode = () => null,
  isLarge = false,
) {
  let Found: ComponentType<Props> | undefined;
  let loading: Promise<void> | undefined;
  /** Loads the file. It never rejects. */
  const preload = () => {
    loading ??= load().then(
      (component) => {
        Found = component;
      },
      () => {
        loading = undefined;
      },
    );
    return loading;
  };
  if (!isLarge) loads.push(preload);
  // biome-ignore lint/correctness/noComponentHookFactories: called once for each part, outside of any component
  return function PartFile(props: Props) {
    const [, redraw] = useState(0);
    useEffect(() => {
      if (Found) return;
      let timer: ReturnType<typeof setTimeout> | undefined;
      let gone = false;
      const attempt = async () => {
        await preload();
        if (gone) return;
        if (Found) redraw((count) => count + 1);
        else timer = setTimeout(attempt, RETRY_MS);
      };
      void attempt();
      return () => {
        gone = true;
        clearTimeout(timer);
      };
    }, []);
    return Found ? <Found {...props} /> : waiting(props);
  };
}

/** Loads the files of all pages and parts, so that each can be opened while the server is down. */
export function loadPageFiles(): void {
  for (const load of loads) void load();
}
