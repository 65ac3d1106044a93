"""What the made world sells: kinds of goods with their words in two languages and their true sensitivity to weather and crowd."""

# ruff: noqa: E501  one kind of goods a line reads as a table; broken lines would not

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One leaf category. Sensitivities are added to the logit of a click: `rain` while it rains, `heat` and `cold` per unit of
    warmth or cold as `truth.warmth` and `truth.coldness` have it, `crowd` per unit of crowd above the usual.
    `price` is the median price in CNY; nouns, traits and specs pair up across languages only loosely."""

    root: str
    leaf: str
    nouns_en: tuple[str, ...]
    nouns_zh: tuple[str, ...]
    traits_en: tuple[str, ...]
    traits_zh: tuple[str, ...]
    specs: tuple[str, ...]
    price: float
    rain: float = 0.0
    heat: float = 0.0
    cold: float = 0.0
    crowd: float = 0.0

    @property
    def theme(self) -> str:
        """The weather scene that advertisers of this kind also play on; "plain" where they play on none."""
        if self.rain >= 0.7:
            return "rain"
        return "heat" if self.heat >= 0.7 else "plain"


def _kind(root: str, leaf: str, words: str, specs: str, price: float, **sensitivity: float) -> Kind:
    """`words` is "nouns en; nouns zh; traits en; traits zh", each parted by commas."""
    nouns_en, nouns_zh, traits_en, traits_zh = (
        tuple(word.strip() for word in part.split(",")) for part in words.split(";")
    )
    return Kind(root, leaf, nouns_en, nouns_zh, traits_en, traits_zh, tuple(specs.split("|")), price, **sensitivity)


KINDS: tuple[Kind, ...] = (
    _kind("Outdoor", "Umbrellas", "Umbrella, Folding Umbrella, Golf Umbrella; 雨伞, 折叠伞, 长柄伞; Windproof, Compact, Automatic, Double Canopy; 防风, 轻便, 自动, 双层", "58 cm|64 cm|70 cm|8 ribs|10 ribs", 69, rain=1.2),
    _kind("Outdoor", "Rainwear", "Raincoat, Rain Poncho, Rain Boots; 雨衣, 雨披, 雨靴; Breathable, Packable, Long, Reflective; 透气, 便携, 加长, 反光", "S|M|L|XL", 119, rain=1.1),
    _kind("Outdoor", "Hiking", "Hiking Boots, Trekking Poles, Daypack; 登山鞋, 登山杖, 徒步背包; Lightweight, Sturdy, Cushioned, Mid-cut; 轻量, 耐磨, 缓震, 中帮", "D20|D28|D35", 299, rain=-0.5),
    _kind("Outdoor", "Camping", "Tent, Sleeping Bag, Camp Stove; 帐篷, 睡袋, 露营炉; Two-person, Three-season, Folding, Insulated; 双人, 三季, 可折叠, 保温", "2 kg|3 kg|1.2 kg", 359, rain=-0.5),
    _kind("Fashion", "Shirts", "Linen Shirt, Oxford Shirt, Polo Shirt; 亚麻衬衫, 牛津衬衫, 翻领衫; Slim, Relaxed, Striped, Plain; 修身, 宽松, 条纹, 纯色", "S|M|L|XL", 159),
    _kind("Fashion", "Jackets", "Down Jacket, Fleece Jacket, Wool Coat; 羽绒服, 抓绒外套, 羊毛大衣; Hooded, Light, Quilted, Long; 连帽, 轻薄, 绗缝, 长款", "S|M|L|XL", 459, cold=0.8),
    _kind("Fashion", "Running Shoes", "Running Shoes, Trail Shoes, Walking Shoes; 跑鞋, 越野跑鞋, 健步鞋; Cushioned, Breathable, Wide, Stable; 缓震, 透气, 宽楦, 稳定", "size 38|size 40|size 42|size 44", 399),
    _kind("Fashion", "Sunglasses", "Sunglasses, Clip-on Lenses, Sports Glasses; 太阳镜, 夹片, 运动眼镜; Polarised, Round, Square, Light; 偏光, 圆框, 方框, 轻巧", "52 mm|55 mm|58 mm", 189, heat=0.5, rain=-0.5),
    _kind("Food", "Ice Cream", "Vanilla Ice Cream, Mango Sorbet, Ice Lollies; 香草冰淇淋, 芒果冰沙, 冰棒; Creamy, Low Sugar, Family Pack, Small Batch; 绵密, 低糖, 家庭装, 小批量", "4 × 90 g|6 × 75 g|500 ml", 39, heat=1.2),
    _kind("Food", "Cold Drinks", "Iced Tea, Lemonade, Sparkling Water; 冰茶, 柠檬水, 气泡水; Unsweetened, Peach, Lime, Classic; 无糖, 白桃, 青柠, 原味", "6 × 330 ml|12 × 500 ml|1 L", 35, heat=0.9),
    _kind("Food", "Hot Drinks", "Coffee Beans, Oolong Tea, Cocoa; 咖啡豆, 乌龙茶, 可可粉; Medium Roast, Loose Leaf, Dark, Mild; 中烘, 散装, 浓郁, 清香", "250 g|500 g|1 kg", 79, cold=0.9),
    _kind("Food", "Snacks", "Roasted Nuts, Rice Crackers, Dried Mango; 烘烤坚果, 米饼, 芒果干; Lightly Salted, Unsalted, Crunchy, Mixed; 淡盐, 原味, 香脆, 混合", "200 g|400 g|10 bags", 45),
    _kind("Home", "Fans", "Desk Fan, Tower Fan, Handheld Fan; 台扇, 塔扇, 手持风扇; Quiet, Rechargeable, Oscillating, Timer; 静音, 充电, 摇头, 定时", "20 W|35 W|2000 mAh", 149, heat=1.2),
    _kind("Home", "Heaters", "Oil Radiator, Fan Heater, Electric Blanket; 油汀取暖器, 暖风机, 电热毯; Thermostat, Compact, Washable, Low Noise; 恒温, 小型, 可水洗, 低噪", "800 W|1500 W|2000 W", 249, cold=1.2),
    _kind("Home", "Lamps", "Desk Lamp, Floor Lamp, Night Light; 台灯, 落地灯, 小夜灯; Dimmable, Warm White, Folding, Clip-on; 可调光, 暖光, 折叠, 夹式", "5 W|9 W|12 W", 129),
    _kind("Home", "Bedding", "Cotton Sheet Set, Latex Pillow, Light Quilt; 纯棉四件套, 乳胶枕, 薄被; Soft, Breathable, Washed, Plain; 柔软, 透气, 水洗, 素色", "S2|S4|S6", 259),
    _kind("Electronics", "Headphones", "Earbuds, Over-ear Headphones, Neckband Headphones; 无线耳机, 头戴耳机, 颈挂耳机; Noise Cancelling, Light, Foldable, Long Battery; 降噪, 轻便, 可折叠, 长续航", "30 h|24 h|40 h", 299),
    _kind("Electronics", "Power Banks", "Power Bank, Travel Charger, Charging Cable; 充电宝, 旅行充电器, 数据线; Slim, Fast Charging, Two-port, Braided; 轻薄, 快充, 双口, 编织", "P2|P5|P8", 99, crowd=0.9),
    _kind("Electronics", "Keyboards", "Mechanical Keyboard, Wireless Keyboard, Number Pad; 机械键盘, 无线键盘, 数字小键盘; Quiet, Compact, Backlit, Low Profile; 静音, 紧凑, 背光, 矮轴", "61 keys|84 keys|104 keys", 269),
    _kind("Electronics", "Phone Cases", "Phone Case, Screen Protector, Phone Stand; 手机壳, 钢化膜, 手机支架; Clear, Matte, Magnetic, Shockproof; 透明, 磨砂, 磁吸, 防摔", "6.1 in|6.7 in", 49),
    _kind("Beauty", "Sunscreen", "Sunscreen Lotion, Sunscreen Stick, Sunscreen Spray; 防晒乳, 防晒棒, 防晒喷雾; Light, Water Resistant, Fragrance Free, Matte; 清爽, 防水, 无香, 哑光", "50 ml|80 ml|150 ml", 89, heat=0.6),
    _kind("Beauty", "Moisturisers", "Face Cream, Body Lotion, Hand Cream; 面霜, 身体乳, 护手霜; Rich, Light, Unscented, Shea; 滋润, 清爽, 无香, 乳木果", "50 ml|100 ml|250 ml", 99, cold=0.4),
    _kind("Beauty", "Shampoo", "Shampoo, Conditioner, Hair Mask; 洗发水, 护发素, 发膜; Mild, Silicone Free, Smooth, Volume; 温和, 无硅油, 柔顺, 蓬松", "250 ml|400 ml|750 ml", 69),
    _kind("Beauty", "Makeup", "Lipstick, Eyeliner, Foundation; 口红, 眼线笔, 粉底液; Matte, Sheer, Long Wear, Warm; 哑光, 水润, 持妆, 暖调", "#03|#07|#12", 109),
    _kind("Kids", "Building Toys", "Wooden Blocks, Marble Run, Train Track; 木质积木, 滚珠轨道, 火车轨道; Classic, Colourful, Starter, Large; 经典, 彩色, 入门, 大号", "48 pieces|96 pieces|150 pieces", 139),
    _kind("Kids", "Picture Books", "Picture Book, Sticker Book, Board Book; 绘本, 贴纸书, 纸板书; Bedtime, Animal, Counting, Bilingual; 睡前, 动物, 数数, 双语", "24 pages|32 pages|48 pages", 49),
    _kind("Kids", "Puzzles", "Jigsaw Puzzle, Cube Puzzle, Board Game; 拼图, 魔方, 桌游; 500-piece, Family, Travel, Wooden; 五百片, 家庭, 便携, 木质", "age 4|age 6|age 8", 79),
    _kind("Kids", "Outdoor Play", "Kick Scooter, Bubble Wand, Kite; 滑板车, 泡泡棒, 风筝; Folding, Large, Light, Colourful; 可折叠, 大号, 轻便, 彩色", "age 4|age 6|age 8", 119),
    _kind("Sport", "Yoga", "Yoga Mat, Foam Roller, Resistance Band; 瑜伽垫, 泡沫轴, 弹力带; Non-slip, Thick, Light, Long; 防滑, 加厚, 轻便, 加长", "Y1|Y3|Y5", 89),
    _kind("Sport", "Bottles", "Steel Bottle, Sports Bottle, Shaker; 保温杯, 运动水壶, 摇摇杯; Insulated, Leakproof, Light, Wide Mouth; 保温, 防漏, 轻便, 宽口", "500 ml|750 ml|1 L", 79),
    _kind("Sport", "Cycling", "Cycling Helmet, Bike Light, Bike Lock; 骑行头盔, 车灯, 车锁; Light, Rechargeable, Adjustable, Folding; 轻量, 充电, 可调, 折叠", "C1|C2|C4", 149),
    _kind("Sport", "Swimming", "Swim Goggles, Swimsuit, Swim Cap; 泳镜, 泳衣, 泳帽; Anti-fog, Quick Dry, Soft, Training; 防雾, 速干, 柔软, 训练", "S|M|L", 99),
    _kind("Travel", "Suitcases", "Cabin Suitcase, Hard-shell Suitcase, Duffel; 登机箱, 硬壳行李箱, 旅行袋; Light, Four-wheel, Expandable, Lockable; 轻便, 万向轮, 可扩展, 带锁", "20 in|24 in|28 in", 329),
    _kind("Travel", "Tote Bags", "Canvas Tote, Shopping Bag, Crossbody Bag; 帆布包, 购物袋, 斜挎包; Foldable, Roomy, Plain, Zipped; 可折叠, 大容量, 素色, 拉链", "10 L|15 L|18 L", 79, crowd=0.6),
    _kind("Travel", "Neck Pillows", "Neck Pillow, Eye Mask, Travel Blanket; 颈枕, 眼罩, 旅行毯; Memory Foam, Soft, Inflatable, Washable; 记忆棉, 柔软, 充气, 可水洗", "one size|adult", 69),
    _kind("Travel", "Local Guides", "City Map, Walking Guide, Museum Guide; 城市地图, 步行指南, 博物馆指南; Pocket, Illustrated, Bilingual, New Edition; 口袋, 图解, 双语, 新版", "96 pages|128 pages", 39, crowd=0.8),
)  # fmt: skip

BRANDS_EN = (
    "Alderway", "Brookfell", "Cinderby", "Dunmore", "Elmcrest", "Fernholt", "Glenrow", "Hartwell", "Inverley", "Juniper Lane",
    "Kestrel", "Larkmoor", "Marlowe", "Northgate", "Oakrest", "Pinehurst", "Quillon", "Ridgeway", "Silverbeck", "Thornby",
    "Umberfield", "Valewood", "Westhaven", "Yarrow",
)  # fmt: skip
BRANDS_ZH = (
    "青禾", "云岭", "晨舟", "南枝", "木棠", "清川", "石榴里", "远帆", "小满", "白鹭", "松间", "知夏", "拾光", "海棠", "北屿", "竹里",
    "微澜", "朝木", "星屿", "山间", "半亩", "丰年", "长汀", "禾风",
)  # fmt: skip
