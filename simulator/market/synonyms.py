"""Other words for what the made world sells. People's logged searches use the first one; the second one nobody has said yet.

The second words are for measuring: whoever learns from the log can know them by their letters and characters only.
"""

# ruff: noqa: E501  several words a line read as a table; broken lines would not

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OtherWords:
    """Two further words for a word of the catalogue: one that searches in the log use, one that none of them does."""

    logged: str
    unheard: str


def _table(text: str) -> dict[str, OtherWords]:
    """`word = logged | unheard`, parted by semicolons."""
    words = {}
    for entry in text.replace("\n", " ").split(";"):
        word, _, others = entry.partition("=")
        if others:
            logged, _, unheard = others.partition("|")
            words[word.strip()] = OtherWords(logged.strip(), unheard.strip())
    return words


_EN = """
Umbrella = brolly | rain shade; Folding Umbrella = collapsible umbrella | telescopic brolly; Golf Umbrella = long-handled umbrella | big straight brolly;
Raincoat = rain jacket | mackintosh; Rain Poncho = rain cape | waterproof cape; Rain Boots = wellies | rubber boots;
Hiking Boots = mountain boots | trekking shoes; Trekking Poles = hiking sticks | walking poles; Daypack = small backpack | rucksack for day trips;
Tent = camping shelter | bivouac; Sleeping Bag = sleep sack | mummy bag; Camp Stove = portable burner | outdoor cooker;
Linen Shirt = flax shirt | top made of linen; Oxford Shirt = button-down shirt | oxford cloth top; Polo Shirt = collared tee | tennis shirt;
Down Jacket = puffer | feather-filled coat; Fleece Jacket = fleece pullover | polar fleece top; Wool Coat = woollen overcoat | merino greatcoat;
Running Shoes = joggers | trainers for running; Trail Shoes = off-road runners | cross-country footwear; Walking Shoes = strolling footwear | comfortable walkers;
Sunglasses = shades | sun specs; Clip-on Lenses = clip shades | flip-up lenses; Sports Glasses = athletic eyewear | goggles for sport;
Vanilla Ice Cream = vanilla gelato | vanilla frozen dessert; Mango Sorbet = mango water ice | frozen mango treat; Ice Lollies = popsicles | ice pops;
Iced Tea = cold brew tea | chilled tea; Lemonade = lemon drink | citrus cooler; Sparkling Water = soda water | fizzy water;
Coffee Beans = whole bean coffee | espresso beans; Oolong Tea = wulong | semi-fermented tea; Cocoa = hot chocolate powder | drinking chocolate;
Roasted Nuts = toasted nuts | baked nut kernels; Rice Crackers = rice crisps | senbei; Dried Mango = mango strips | dehydrated mango;
Desk Fan = table fan | desktop ventilator; Tower Fan = column fan | upright bladeless fan; Handheld Fan = mini hand fan | personal cooling fan;
Oil Radiator = oil-filled heater | column radiator; Fan Heater = blow heater | hot air blower; Electric Blanket = heated blanket | warming underblanket;
Desk Lamp = table lamp | study light; Floor Lamp = standing lamp | standard lamp; Night Light = bedside glow light | nursery lamp;
Cotton Sheet Set = cotton bed linen | bedsheets in cotton; Latex Pillow = natural rubber pillow | latex headrest; Light Quilt = summer duvet | thin comforter;
Earbuds = in-ear headphones | true wireless buds; Over-ear Headphones = full-size headset | around-ear cans; Neckband Headphones = collar headset | around-the-neck earphones;
Power Bank = portable charger | backup battery; Travel Charger = travel adapter | plug for trips; Charging Cable = charger cord | usb lead;
Mechanical Keyboard = clicky keyboard | switch keyboard; Wireless Keyboard = bluetooth keyboard | cordless keyboard; Number Pad = numeric keypad | numpad;
Phone Case = phone cover | mobile shell; Screen Protector = tempered glass film | display guard; Phone Stand = phone holder | mobile rest;
Sunscreen Lotion = sunblock cream | spf lotion; Sunscreen Stick = sunblock stick | spf bar; Sunscreen Spray = sunblock mist | spf aerosol;
Face Cream = facial moisturiser | day cream; Body Lotion = body milk | skin lotion for the body; Hand Cream = hand balm | hand salve;
Shampoo = hair wash | hair cleanser; Conditioner = hair rinse | hair softener; Hair Mask = deep hair treatment | hair pack;
Lipstick = lip colour | rouge for lips; Eyeliner = eye pencil | kohl; Foundation = base makeup | complexion base;
Wooden Blocks = timber bricks | wood building cubes; Marble Run = ball track | marble maze; Train Track = toy railway | rail set;
Picture Book = storybook | drawn tale; Sticker Book = sticker album | peel-and-stick book; Board Book = thick-page book | cardboard book;
Jigsaw Puzzle = jigsaw | interlocking puzzle; Cube Puzzle = magic cube | twisty cube; Board Game = tabletop game | parlour game;
Kick Scooter = push scooter | two-wheel scooter; Bubble Wand = bubble maker | soap bubble stick; Kite = wind glider | sky flyer;
Yoga Mat = exercise mat | pilates mat; Foam Roller = massage roller | muscle roller; Resistance Band = stretch band | elastic trainer;
Steel Bottle = vacuum flask | thermos; Sports Bottle = gym bottle | drinking bottle for workouts; Shaker = protein mixer cup | shake cup;
Cycling Helmet = bike helmet | bicycle headgear; Bike Light = bicycle lamp | cycle headlight; Bike Lock = bicycle lock | cycle padlock;
Swim Goggles = pool goggles | swimming eyewear; Swimsuit = bathing suit | swimming costume; Swim Cap = bathing cap | pool hat;
Cabin Suitcase = carry-on | hand luggage case; Hard-shell Suitcase = rigid luggage | hard case trolley; Duffel = holdall | weekend bag;
Canvas Tote = cloth tote | cotton carryall; Shopping Bag = grocery bag | market bag; Crossbody Bag = shoulder bag | sling bag;
Neck Pillow = travel neck cushion | u-shaped pillow; Eye Mask = sleep mask | blindfold for sleeping; Travel Blanket = plane blanket | throw for journeys;
City Map = town map | street plan; Walking Guide = walks handbook | guide to strolls; Museum Guide = gallery guide | exhibition handbook;

500-piece = five hundred pieces | 500 pcs; Adjustable = resizable | custom fit; Animal = with animals | wildlife themed; Anti-fog = fog-free | does not mist up;
Automatic = one-touch | self-opening; Backlit = illuminated keys | light-up; Bedtime = goodnight | for falling asleep; Bilingual = two-language | dual-language;
Braided = woven | nylon-wrapped; Breathable = airy | well ventilated; Classic = traditional | original style; Clear = transparent | see-through;
Clip-on = with a clamp | clamping; Colourful = multicoloured | rainbow; Compact = small-sized | space-saving; Counting = numbers | learn to count;
Creamy = velvety | milky and thick; Crunchy = crispy | with a crunch; Cushioned = padded | shock absorbing; Dark = intense | full-bodied;
Dimmable = adjustable brightness | with a dimmer; Double Canopy = two-layer | vented double top; Expandable = extendable | grows in size; Family = for the whole family | all ages;
Family Pack = value pack | big box for sharing; Fast Charging = quick charge | rapid power delivery; Foldable = folds up | fold-away; Folding = collapsible | folds flat;
Four-wheel = spinner wheels | rolling on 4 wheels; Fragrance Free = no perfume | without scent; Hooded = with a hood | hoodie style; Illustrated = with pictures | full of drawings;
Inflatable = blow-up | air-filled; Insulated = thermal | keeps temperature; Large = big | oversized; Leakproof = spill-proof | does not drip;
Light = not heavy | featherweight; Lightweight = ultralight | weighs little; Lightly Salted = low salt | a pinch of salt; Lime = lime flavour | limey;
Lockable = with a lock | secure closure; Long = extra length | full-length; Long Battery = lasting charge | all-day power; Long Wear = smudge-proof | stays on for hours;
Loose Leaf = unbagged leaves | no tea bags; Low Noise = makes little sound | hushed; Low Profile = flat keys | shallow caps; Low Sugar = less sweet | reduced sugar;
Magnetic = with magnets | snaps on magnetically; Matte = non-shiny | shine-free; Medium Roast = city roast | moderately roasted; Memory Foam = slow-rebound foam | viscoelastic;
Mid-cut = ankle-high | mid-height; Mild = gentle | not harsh; Mixed = assorted | variety; New Edition = latest version | updated release;
Noise Cancelling = anc | blocks outside sound; Non-slip = anti-skid | grippy; Oscillating = swinging | turns side to side; Packable = stows small | squeezes into a pouch;
Peach = peach flavour | peachy; Plain = solid colour | no pattern; Pocket = pocket-size | tiny format; Polarised = anti-glare | glare-cutting;
Quick Dry = fast drying | dries rapidly; Quiet = silent | noiseless; Quilted = stitched padding | diamond-stitched; Rechargeable = usb charged | no disposable batteries;
Reflective = hi-vis | visible at night; Relaxed = loose fit | generous cut; Rich = nourishing | deeply moisturising; Roomy = spacious | lots of space;
Round = circular | round-framed; Shea = shea butter | karite; Sheer = translucent | barely-there tint; Shockproof = drop-proof | survives falls;
Silicone Free = without silicones | zero silicone; Slim = thin | narrow; Small Batch = craft made | artisanal; Smooth = silky | frizz-taming;
Soft = plush | cosy to the touch; Square = rectangular | squarish; Stable = supportive | steady; Starter = for beginners | first set;
Striped = with stripes | pinstripe; Sturdy = robust | hard-wearing; Thermostat = temperature control | holds a set temperature; Thick = extra padding | chunky;
Three-season = spring to autumn | not for winter; Timer = with auto-off | switches off on schedule; Training = for practice | workout; Travel = to take along | on-the-go;
Two-person = for two | 2-man; Two-port = dual usb | double output; Unsalted = no salt | salt-free; Unscented = odourless | no smell;
Unsweetened = sugar-free | nothing sweet added; Volume = fuller hair | adds body; Warm = warm tone | golden hue; Warm White = soft yellow light | cosy glow;
Washable = machine wash | can be laundered; Washed = pre-washed | stone-rinsed; Water Resistant = sweatproof | withstands splashes; Wide = broad fit | generous toe;
Wide Mouth = large opening | easy-fill neck; Windproof = storm-proof | holds up in gales; Wooden = made of wood | timber; Zipped = with a zipper | zip closure
"""

_ZH = """
雨伞 = 晴雨伞 | 挡雨的伞; 折叠伞 = 折伞 | 伸缩伞; 长柄伞 = 直杆伞 | 长把伞; 雨衣 = 防雨服 | 雨服; 雨披 = 斗篷雨具 | 披风式雨具; 雨靴 = 水鞋 | 雨鞋;
登山鞋 = 爬山鞋 | 山地靴; 登山杖 = 徒步杖 | 行山杖; 徒步背包 = 户外双肩包 | 爬山包; 帐篷 = 露营帐 | 野营篷; 睡袋 = 户外睡囊 | 露营被; 露营炉 = 户外炉具 | 野炊炉;
亚麻衬衫 = 麻料衬衣 | 棉麻上衣; 牛津衬衫 = 牛津纺衬衣 | 商务衬衫; 翻领衫 = Polo衫 | 有领T恤; 羽绒服 = 鸭绒外套 | 羽绒衣; 抓绒外套 = 摇粒绒上衣 | 绒衣; 羊毛大衣 = 毛呢外套 | 呢子大衣;
跑鞋 = 跑步鞋 | 慢跑鞋; 越野跑鞋 = 野跑鞋 | 越野运动鞋; 健步鞋 = 散步鞋 | 走路鞋; 太阳镜 = 墨镜 | 遮阳眼镜; 夹片 = 眼镜夹 | 挂片; 运动眼镜 = 骑行镜 | 户外护目镜;
香草冰淇淋 = 香草雪糕 | 香草味冰激凌; 芒果冰沙 = 芒果沙冰 | 芒果雪葩; 冰棒 = 冰棍 | 棒冰; 冰茶 = 冻茶 | 冷泡茶; 柠檬水 = 柠檬饮料 | 柠檬汁; 气泡水 = 苏打水 | 碳酸水;
咖啡豆 = 整豆咖啡 | 现磨咖啡原豆; 乌龙茶 = 青茶 | 铁观音; 可可粉 = 热巧克力粉 | 巧克力冲饮; 烘烤坚果 = 烤果仁 | 干果; 米饼 = 米果 | 仙贝; 芒果干 = 芒果片 | 芒果果脯;
台扇 = 桌面电扇 | 台式风扇; 塔扇 = 立式无叶扇 | 塔式电风扇; 手持风扇 = 手拿小电扇 | 随身小风扇; 油汀取暖器 = 油汀 | 电暖气片; 暖风机 = 热风机 | 电暖风; 电热毯 = 电褥子 | 发热毯;
台灯 = 桌灯 | 书桌灯; 落地灯 = 立灯 | 站灯; 小夜灯 = 起夜灯 | 床头小灯; 纯棉四件套 = 全棉床品 | 棉质床单被套; 乳胶枕 = 橡胶枕 | 乳胶枕头; 薄被 = 夏凉被 | 空调被;
无线耳机 = 蓝牙耳塞 | 真无线耳塞; 头戴耳机 = 罩耳式耳机 | 大耳机; 颈挂耳机 = 挂脖耳机 | 脖挂式蓝牙; 充电宝 = 移动电源 | 随身电源; 旅行充电器 = 出差充电头 | 旅游插头; 数据线 = 充电线 | 连接线;
机械键盘 = 青轴键盘 | 电竞键盘; 无线键盘 = 蓝牙键盘 | 免接线键盘; 数字小键盘 = 数字键盘 | 小数字板; 手机壳 = 手机套 | 保护壳; 钢化膜 = 玻璃膜 | 屏幕贴膜; 手机支架 = 手机座 | 手机托架;
防晒乳 = 防晒霜 | 隔离乳液; 防晒棒 = 防晒膏 | 涂抹式防晒; 防晒喷雾 = 喷雾防晒 | 喷式隔离; 面霜 = 脸霜 | 面部乳霜; 身体乳 = 润肤露 | 身体润肤乳; 护手霜 = 手霜 | 润手膏;
洗发水 = 洗发露 | 香波; 护发素 = 润发乳 | 护发乳; 发膜 = 倒膜 | 头发面膜; 口红 = 唇膏 | 唇彩; 眼线笔 = 眼线膏 | 画眼线的笔; 粉底液 = 底妆液 | 粉底霜;
木质积木 = 木头积木 | 原木拼搭块; 滚珠轨道 = 弹珠轨道 | 滚球赛道; 火车轨道 = 小火车玩具 | 铁轨套装; 绘本 = 图画书 | 画册故事; 贴纸书 = 贴贴书 | 粘贴画册; 纸板书 = 厚页书 | 撕不烂书;
拼图 = 拼板 | 拼接图片; 魔方 = 三阶方块 | 益智方块; 桌游 = 桌面游戏 | 聚会棋牌; 滑板车 = 踏板车 | 滑行车; 泡泡棒 = 吹泡泡玩具 | 泡泡机; 风筝 = 纸鸢 | 飞鸢;
瑜伽垫 = 健身垫 | 练功垫; 泡沫轴 = 按摩滚轴 | 瑜伽柱; 弹力带 = 拉力带 | 阻力带; 保温杯 = 暖水杯 | 真空杯; 运动水壶 = 健身水杯 | 跑步水瓶; 摇摇杯 = 蛋白粉杯 | 搅拌杯;
骑行头盔 = 自行车头盔 | 单车帽盔; 车灯 = 自行车前灯 | 骑车照明灯; 车锁 = 自行车锁 | 单车锁具; 泳镜 = 游泳眼镜 | 潜水镜; 泳衣 = 游泳衣 | 泳装; 泳帽 = 游泳帽 | 护发泳套;
登机箱 = 随身行李箱 | 拉杆小箱; 硬壳行李箱 = 硬箱 | 硬面拉杆箱; 旅行袋 = 手提行李包 | 短途旅行包; 帆布包 = 布袋 | 帆布手提袋; 购物袋 = 买菜袋 | 环保袋; 斜挎包 = 单肩小包 | 挎包;
颈枕 = 护颈枕 | U型枕; 眼罩 = 遮光眼套 | 睡眠眼罩; 旅行毯 = 飞机毯 | 出行盖毯; 城市地图 = 市区图 | 街道图; 步行指南 = 徒步手册 | 漫步攻略; 博物馆指南 = 看展手册 | 展馆导览;

无糖 = 不含糖 | 零糖; 防滑 = 止滑 | 不打滑; 三季 = 春夏秋 | 除冬天外都能用; 编织 = 尼龙绳 | 编绳; 滋润 = 保湿 | 补水; 低糖 = 少糖 | 不太甜; 睡前 = 晚安 | 哄睡;
修身 = 收腰 | 显瘦; 蓬松 = 丰盈 | 不塌; 轻便 = 不重 | 好携带; 防水 = 不怕水 | 遇水不花; 乳木果 = 雪亚脂 | 乳油木; 宽口 = 大口径 | 口大好清洗; 防雾 = 不起雾 | 不结雾;
防风 = 抗风 | 不怕大风; 双人 = 两人用 | 情侣; 绵密 = 细腻 | 奶香浓滑; 小型 = 小巧 | 迷你; 动物 = 萌宠 | 认识动物; 经典 = 传统 | 老款; 持妆 = 不脱妆 | 长效;
口袋 = 袖珍 | 掌上; 保温 = 保暖 | 锁温; 双口 = 两个接口 | 双输出; 彩色 = 五颜六色 | 缤纷; 带锁 = 可上锁 | 密码锁; 加厚 = 厚实 | 更厚; 香脆 = 酥脆 | 嘎嘣脆;
耐磨 = 结实 | 经久耐用; 清爽 = 不油腻 | 不黏腻; 条纹 = 竖纹 | 横条; 静音 = 没声音 | 安静; 家庭 = 全家玩 | 亲子; 淡盐 = 微咸 | 少盐; 记忆棉 = 慢回弹 | 太空棉;
浓郁 = 醇厚 | 味道重; 缓震 = 减震 | 软弹; 矮轴 = 薄键帽 | 低键程; 磁吸 = 带磁铁 | 吸附式; 暖光 = 黄光 | 柔和光线; 温和 = 不刺激 | 亲肤; 可调 = 能调节 | 大小随意;
圆框 = 圆形 | 圆边; 新版 = 最新修订 | 今年刚出; 磨砂 = 不沾指纹 | 雾面; 清香 = 淡香 | 香气淡雅; 入门 = 新手 | 初学; 折叠 = 能收起来 | 对折; 无硅油 = 不含硅 | 零硅;
双层 = 两层 | 双重伞面; 纯色 = 单色 | 没有花纹; 充电 = usb供电 | 可反复充; 哑光 = 雾感 | 不泛光; 偏光 = 防眩光 | 滤光; 木质 = 木头做的 | 实木; 中帮 = 护踝 | 中高帮;
轻巧 = 轻盈 | 没重量; 散装 = 不带茶包 | 散茶; 素色 = 无印花 | 净色; 宽松 = 不紧身 | 大码版型; 降噪 = 隔音 | 消噪; 自动 = 一键开合 | 按一下就开; 紧凑 = 省空间 | 体积小;
白桃 = 桃子味 | 水蜜桃; 加长 = 更长 | 特长; 防摔 = 抗摔 | 摔不坏; 方框 = 方形 | 方边; 数数 = 学数字 | 算数; 拉链 = 带拉锁 | 有链扣; 恒温 = 温控 | 温度稳定;
水润 = 润泽 | 水光; 双语 = 中英对照 | 两种语言; 可折叠 = 能折 | 折起来; 万向轮 = 四轮 | 滑轮转向; 轻薄 = 薄款 | 纤薄; 便携 = 随身带 | 方便带走; 速干 = 快干 | 干得快;
五百片 = 500片 | 五百块; 夹式 = 夹子 | 能夹住; 长续航 = 电量持久 | 用很久; 可调光 = 亮度可调 | 能调亮暗; 中烘 = 中度烘焙 | 中焙; 稳定 = 支撑好 | 不晃; 充气 = 吹气 | 打气;
大容量 = 能装 | 超大空间; 定时 = 自动关 | 预约关机; 图解 = 配图 | 看图; 柔顺 = 顺滑 | 不毛躁; 混合 = 什锦 | 多种口味; 背光 = 键盘发光 | 带灯; 训练 = 练习 | 专业锻炼;
无香 = 没香味 | 无味; 透明 = 全透 | 看得见原机; 小批量 = 手作 | 少量精制; 可水洗 = 能洗 | 可机洗; 青柠 = 莱姆 | 酸柠味; 防漏 = 不漏水 | 密封; 可扩展 = 可加大 | 能变大;
柔软 = 软糯 | 软软的; 低噪 = 噪音小 | 声音轻; 反光 = 夜光条 | 夜间可见; 暖调 = 暖色 | 偏橘; 轻量 = 超轻 | 减重; 绗缝 = 菱格 | 格纹压线; 连帽 = 带帽子 | 有帽;
摇头 = 左右摆风 | 转头; 长款 = 过膝 | 长身; 水洗 = 洗旧 | 做旧; 家庭装 = 大包装 | 分享装; 宽楦 = 宽脚 | 脚宽能穿; 大号 = 大尺寸 | 特大; 快充 = 充得快 | 闪充;
原味 = 本味 | 不加味; 透气 = 不闷 | 通风
"""

OTHER_WORDS = {"en": _table(_EN), "zh": _table(_ZH)}
