import { library } from '../../tooling/tsdown.ts'

export default library(['src/index.ts', 'src/page/index.ts'])
