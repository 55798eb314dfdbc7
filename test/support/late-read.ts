/** A store whose method `name` answers as of its call, but only once the promise of `meanwhile` has resolved. */
export function withLateRead<T extends object>(store: T, name: keyof T, meanwhile: () => void | Promise<void>): T {
  return new Proxy(store, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        const answer: unknown = Reflect.apply(value, target, args);
        return key === name ? Promise.all([answer, meanwhile()]).then(([late]) => late) : answer;
      };
    },
  });
}
