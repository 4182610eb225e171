interface Node<T> {
  /** The tokens from the parent to here. */
  edge: readonly number[]
  /** By their edges' first token. */
  children: Map<number, Node<T>>
  value?: T
}

/** Values by sequences of tokens, found by any longer sequence: a radix tree, whose edges are runs of tokens. */
export class PrefixTree<T> {
  private readonly root: Node<T> = { edge: [], children: new Map() }

  /** The value of exactly these tokens. */
  get(tokens: readonly number[]): T | undefined {
    const found = this.along(tokens).at(-1)
    return found?.length === tokens.length ? found.value : undefined
  }

  /** The values of all sequences that `tokens` begins with, the shortest first; `length` is theirs. */
  along(tokens: readonly number[]): { length: number; value: T }[] {
    const found: { length: number; value: T }[] = []
    let node: Node<T> | undefined = this.root
    for (let at = 0; node; node = node.children.get(tokens[at])) {
      if (common(node.edge, tokens, at) < node.edge.length) break
      at += node.edge.length
      if (node.value !== undefined) found.push({ length: at, value: node.value })
      if (at === tokens.length) break
    }
    return found
  }

  /** Puts a value in place of what these tokens had. */
  set(tokens: readonly number[], value: T): void {
    let node = this.root,
      at = 0
    while (at < tokens.length) {
      const next = node.children.get(tokens[at])
      if (!next) {
        node.children.set(tokens[at], { edge: tokens.slice(at), children: new Map(), value })
        return
      }
      const shared = common(next.edge, tokens, at)
      at += shared
      node = shared < next.edge.length ? split(node, next, shared) : next
    }
    node.value = value
  }

  /** Forgets these tokens' value. */
  delete(tokens: readonly number[]): void {
    const path = [this.root]
    for (let at = 0; at < tokens.length; at += path.at(-1)!.edge.length) {
      const next = path.at(-1)!.children.get(tokens[at])
      if (!next || common(next.edge, tokens, at) < next.edge.length) return
      path.push(next)
    }
    path.at(-1)!.value = undefined
    for (let i = path.length - 1; i > 0; i--) tidy(path[i - 1], path[i])
  }
}

/** How many of the edge's tokens `tokens` has from `at` on. */
function common(edge: readonly number[], tokens: readonly number[], at: number): number {
  let count = 0
  while (count < edge.length && edge[count] === tokens[at + count]) count++
  return count
}

/** A node in the middle of an edge. */
function split<T>(parent: Node<T>, node: Node<T>, at: number): Node<T> {
  const middle: Node<T> = { edge: node.edge.slice(0, at), children: new Map([[node.edge[at], node]]) }
  node.edge = node.edge.slice(at)
  parent.children.set(middle.edge[0], middle)
  return middle
}

/** Removes a node that nothing needs, or joins it with its only child. */
function tidy<T>(parent: Node<T>, node: Node<T>): void {
  if (node.value !== undefined || node.children.size > 1) return
  const [child] = node.children.values()
  if (!child) parent.children.delete(node.edge[0])
  else {
    child.edge = [...node.edge, ...child.edge]
    parent.children.set(child.edge[0], child)
  }
}
